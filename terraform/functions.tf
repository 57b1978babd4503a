locals {
  manifest  = jsondecode(file("${path.module}/../functions/manifest.json"))
  functions = local.manifest.functions

  # The address is known before the function exists, so that functions can be told each other's.
  dashboard_url = coalesce(var.dashboard_url, "https://${var.region}-${var.project}.cloudfunctions.net/${var.prefix}dashboard")

  settings = {
    ION_CONFIG        = "" # the configuration that the archive brings along
    ION_DASHBOARD_URL = local.dashboard_url
    ION_DATABASE      = google_firestore_database.this.name
    ION_PREFIX        = var.prefix
    ION_PROJECT       = var.project
  }
}

module "function" {
  source   = "./modules/function"
  for_each = local.functions

  archive         = "${var.archives}/${each.key}.zip"
  build_account   = google_service_account.build.id
  bucket          = google_storage_bucket.source.name
  database        = google_firestore_database.this.name
  environment     = { for name in each.value.environment : name => local.settings[name] }
  function        = each.value
  invokers        = merge(local.callers[each.value.trigger.type], each.value.public ? { everybody = "allUsers" } : {})
  name            = each.key
  prefix          = var.prefix
  project         = var.project
  region          = var.region
  runtime         = var.runtime
  secret_ids      = { for name in each.value.secrets : name => google_secret_manager_secret.this[name].secret_id }
  secret_versions = var.secret_versions
  topic_ids       = { for name in each.value.publishes : name => google_pubsub_topic.this[name].id }

  depends_on = [google_project_iam_member.build, google_project_service.this]
}

# Who calls by what trigger: accounts that may do nothing else, and the people who are named.
resource "google_service_account" "caller" {
  for_each = toset(["push", "schedule"])

  account_id   = "${var.prefix}${each.key}"
  display_name = "ION Monitoring: calls functions by ${each.key}"

  depends_on = [google_project_service.this]
}

locals {
  callers = {
    http     = { for member in var.viewers : member => member }
    push     = { push = google_service_account.caller["push"].member }
    schedule = { schedule = google_service_account.caller["schedule"].member }
  }
}

resource "google_storage_bucket" "source" {
  name                        = "${var.project}-${var.prefix}source"
  location                    = var.region
  force_destroy               = true # archives can be built again
  public_access_prevention    = "enforced"
  uniform_bucket_level_access = true

  depends_on = [google_project_service.this]
}

resource "google_service_account" "build" {
  account_id   = "${var.prefix}build"
  display_name = "ION Monitoring: builds functions"

  depends_on = [google_project_service.this]
}

resource "google_project_iam_member" "build" {
  for_each = toset(["roles/artifactregistry.writer", "roles/logging.logWriter", "roles/storage.objectViewer"])

  project = var.project
  role    = each.value
  member  = google_service_account.build.member
}
