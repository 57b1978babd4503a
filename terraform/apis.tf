resource "google_project_service" "this" {
  for_each = toset(concat(
    [
      "artifactregistry.googleapis.com",
      "cloudbuild.googleapis.com",
      "cloudfunctions.googleapis.com",
      "cloudresourcemanager.googleapis.com",
      "cloudscheduler.googleapis.com",
      "firestore.googleapis.com",
      "iam.googleapis.com",
      "logging.googleapis.com",
      "monitoring.googleapis.com",
      "pubsub.googleapis.com",
      "run.googleapis.com",
      "secretmanager.googleapis.com",
      "storage.googleapis.com",
    ],
    local.access == "iap" ? ["iap.googleapis.com"] : [],
    var.budget == null ? [] : ["billingbudgets.googleapis.com"],
  ))

  service            = each.value
  disable_on_destroy = false # others in the project may use it
}

# Google's own accounts come into being with their first use; grants to them need them before.
resource "google_project_service_identity" "pubsub" {
  provider = google-beta

  service = google_project_service.this["pubsub.googleapis.com"].service
}

resource "google_project_service_identity" "iap" {
  provider = google-beta
  for_each = toset(local.access == "iap" ? ["iap.googleapis.com"] : [])

  service = google_project_service.this[each.value].service
}

data "google_project" "this" {
  project_id = var.project

  depends_on = [google_project_service.this]
}
