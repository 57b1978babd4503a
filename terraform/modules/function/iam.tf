# The function's own account, and what the manifest says it needs.

resource "google_service_account" "this" {
  account_id   = "${var.prefix}${var.name}"
  display_name = "ION Monitoring: ${var.name}"
}

locals {
  changes_documents = length(concat(var.function.writes, var.function.deletes)) > 0
  uses_documents    = local.changes_documents || length(var.function.reads) > 0
}

# For this one database: https://cloud.google.com/firestore/docs/manage-databases#per-database-access
resource "google_project_iam_member" "firestore" {
  for_each = toset(local.uses_documents ? [local.changes_documents ? "roles/datastore.user" : "roles/datastore.viewer"] : [])

  project = var.project
  role    = each.value
  member  = google_service_account.this.member

  condition {
    title      = "${var.database} only"
    expression = "resource.name == \"projects/${var.project}/databases/${var.database}\""
  }
}

resource "google_project_iam_member" "this" {
  for_each = toset(var.function.project_roles)

  project = var.project
  role    = each.value
  member  = google_service_account.this.member
}

resource "google_pubsub_topic_iam_member" "publisher" {
  for_each = var.topic_ids

  topic  = each.value
  role   = "roles/pubsub.publisher"
  member = google_service_account.this.member
}

resource "google_secret_manager_secret_iam_member" "this" {
  for_each = var.secret_ids

  secret_id = each.value
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.this.member
}

resource "google_cloud_run_v2_service_iam_member" "invoker" {
  for_each = var.invokers

  location = var.region
  name     = google_cloudfunctions2_function.this.name # the service is called like its function
  role     = "roles/run.invoker"
  member   = each.value
}
