locals {
  manifest = jsondecode(file("${path.module}/../functions/manifest.json"))
  runtime  = "python311" # on which the tests run

  # What a public function alone reads is a vendor's secret; without one nobody could call it rightly, so it is not there.
  private_secrets = toset(flatten([for one in values(local.manifest.functions) : one.secrets if !one.public]))
  unlocked = [
    for name, one in local.manifest.functions : name
    if !one.public || length(setintersection(setsubtract(one.secrets, local.private_secrets), local.secrets_set)) > 0
  ]

  sized = {
    for name, one in local.manifest.functions : name => merge(one, {
      for size, value in try(var.sizing[name], {}) : size => value if value != null
    }) if contains(local.unlocked, name) && !contains(var.disabled_functions, name)
  }

  # Behind IAP another service is the dashboard, and this one answers nobody.
  functions = { for name, one in local.sized : name => local.access == "iap" && name == local.dashboard ? merge(one, { min_instances = 0 }) : one }

  # Addresses are known before their services are there, so that functions can be told each other's.
  run_domain = "${data.google_project.this.number}.${var.region}.run.app"

  settings = {
    ION_COLLECT          = "" # the table that the archive brings along
    ION_CONFIG           = "" # the configuration that the archive brings along
    ION_DASHBOARD_ACCESS = local.access
    ION_DASHBOARD_URL    = local.dashboard_url
    ION_DATABASE         = google_firestore_database.this.name
    ION_IAP_AUDIENCE     = local.access == "iap" ? local.iap_audience : ""
    ION_OPERATORS        = join(",", [for member in var.operators : trimprefix(member, "user:")])
    ION_PREFIX           = var.prefix
    ION_PROJECT          = var.project
  }
}

module "function" {
  source   = "./modules/function"
  for_each = local.functions

  archive         = "${var.archives}/${each.key}.zip"
  bucket          = google_storage_bucket.source.name
  build_account   = google_service_account.build.id
  database        = google_firestore_database.this.name
  environment     = { for name in each.value.environment : name => local.settings[name] }
  function        = each.value
  is_reachable    = each.value.trigger.type == "http" && !(each.key == local.dashboard && local.access == "iap")
  invokers        = each.value.public ? local.everybody : local.callers[each.value.trigger.type]
  name            = each.key
  prefix          = var.prefix
  project         = var.project
  region          = var.region
  repository      = google_artifact_registry_repository.functions.id
  runtime         = local.runtime
  secret_ids      = { for name in each.value.secrets : name => google_secret_manager_secret.this[name].secret_id }
  secret_versions = { for name, version in local.secret_versions : name => version if contains(each.value.secrets, name) }
  topic_ids       = { for name in each.value.publishes : name => google_pubsub_topic.this[name].id }

  depends_on = [time_sleep.build_may]
}

# Who calls by what trigger: accounts that may do nothing else, and the people who are named.
resource "google_service_account" "caller" {
  for_each = toset(["push", "schedule"])

  account_id   = "${var.prefix}${each.key}"
  display_name = "ION Monitoring: calls functions by ${each.key}"

  depends_on = [google_project_service.this]
}

locals {
  everybody = { everybody = "allUsers" }

  callers = {
    http     = local.access == "public" ? local.everybody : local.access == "proxy" ? local.people : {}
    push     = { push = google_service_account.caller["push"].member }
    schedule = { schedule = google_service_account.caller["schedule"].member }
  }
}

resource "google_storage_bucket" "source" {
  #checkov:skip=CKV_GCP_62:it holds the source of this repository, which is public
  #checkov:skip=CKV_GCP_78:an object's name is its content's hash, so none is ever overwritten
  name                        = "${var.project}-${var.prefix}source"
  location                    = var.region
  force_destroy               = true # archives can be built again
  public_access_prevention    = "enforced"
  uniform_bucket_level_access = true

  depends_on = [google_project_service.this]
}

# A repository of its own, so that nothing is left of the functions' images when it goes.
resource "google_artifact_registry_repository" "functions" {
  #checkov:skip=CKV_GCP_84:images of public source need no key of one's own
  repository_id = "${var.prefix}functions"
  location      = var.region
  description   = "Images of the functions"
  format        = "DOCKER"

  cleanup_policies {
    id     = "keep-recent"
    action = "KEEP"

    most_recent_versions {
      keep_count = 3
    }
  }

  cleanup_policies {
    id     = "delete-old"
    action = "DELETE"

    condition {
      older_than = "2592000s"
    }
  }

  depends_on = [google_project_service.this]
}

resource "google_service_account" "build" {
  account_id   = "${var.prefix}build"
  display_name = "ION Monitoring: builds functions"

  depends_on = [google_project_service.this]
}

resource "google_artifact_registry_repository_iam_member" "build" {
  repository = google_artifact_registry_repository.functions.name
  location   = var.region
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.build.member
}

# The build's log, and the copy of the source that Cloud Functions makes in a bucket of its own.
resource "google_project_iam_member" "build" {
  for_each = toset(["roles/logging.logWriter", "roles/storage.objectViewer"])

  project = var.project
  role    = each.value
  member  = google_service_account.build.member
}

# A grant holds everywhere only after a while; a build that begins before it does fails, and the first apply with it.
# https://github.com/hashicorp/terraform-provider-google/issues/20571
resource "time_sleep" "build_may" {
  create_duration = "120s"
  triggers        = { account = google_service_account.build.unique_id }

  depends_on = [google_artifact_registry_repository_iam_member.build, google_project_iam_member.build]
}
