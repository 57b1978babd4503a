locals {
  is_pushed = var.function.trigger.type == "push"

  # The server answers with as many threads as requests are let in.
  environment = merge(var.environment, { THREADS = tostring(var.function.concurrency) })
  secrets     = { for name, version in var.secret_versions : name => { id = var.secret_ids[name], version = version } }
}

resource "google_storage_bucket_object" "archive" {
  bucket = var.bucket
  name   = "${var.name}-${substr(filesha256(var.archive), 0, 16)}.zip"
  source = var.archive
}

resource "google_cloudfunctions2_function" "this" {
  name        = "${var.prefix}${var.name}"
  description = var.function.description
  location    = var.region

  build_config {
    runtime           = var.runtime
    entry_point       = var.name
    service_account   = var.build_account
    docker_repository = var.repository
    # Pub/Sub pushes to it as to any HTTP server, and what it serves is CloudEvents.
    environment_variables = { GOOGLE_FUNCTION_SIGNATURE_TYPE = local.is_pushed ? "cloudevent" : "http" }

    source {
      storage_source {
        bucket = var.bucket
        object = google_storage_bucket_object.archive.name
      }
    }

    # What was tested is what runs: the base image changes with a deploy, not between two.
    on_deploy_update_policy {}
  }

  service_config {
    available_cpu                    = tostring(var.function.cpu)
    available_memory                 = "${var.function.memory_mib}Mi"
    max_instance_count               = var.function.max_instances
    max_instance_request_concurrency = var.function.concurrency
    min_instance_count               = var.function.min_instances
    service_account_email            = google_service_account.this.email
    timeout_seconds                  = var.function.timeout_seconds

    environment_variables = local.environment

    dynamic "secret_environment_variables" {
      for_each = local.secrets

      content {
        key        = secret_environment_variables.key
        project_id = var.project
        secret     = secret_environment_variables.value.id
        version    = secret_environment_variables.value.version
      }
    }
  }

  depends_on = [google_secret_manager_secret_iam_member.this]
}
