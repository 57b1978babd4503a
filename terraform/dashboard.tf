# Who may open the dashboard: nobody but by `gcloud run services proxy`, people whom Identity-Aware Proxy knows, or all.

locals {
  dashboard = one([for name, one in local.manifest.functions : name if one.trigger.type == "http" && !one.public])
  people    = { for member in setunion(var.viewers, var.operators) : member => member }
  access    = coalesce(var.dashboard_access, length(local.people) > 0 ? "iap" : "proxy")

  # The service that answers, and where.
  dashboard_service = "${var.prefix}${local.dashboard}${local.access == "iap" ? "-iap" : ""}"
  proxied_url       = "http://127.0.0.1:8080"
  dashboard_url     = coalesce(var.dashboard_url, local.access == "proxy" ? local.proxied_url : "https://${local.dashboard_service}-${local.run_domain}")
  iap_audience      = "/projects/${data.google_project.this.number}/locations/${var.region}/services/${local.dashboard_service}"
}

# `gcloud run services proxy` looks the service up before it calls it, which an invoker may not.
resource "google_cloud_run_v2_service_iam_member" "proxied" {
  for_each = local.access == "proxy" ? local.people : {}

  name     = module.function[local.dashboard].service
  location = var.region
  role     = "roles/run.viewer"
  member   = each.value
}

# A function cannot have IAP, and a service cannot build a function: the one builds the image that the other runs.
# https://github.com/hashicorp/terraform-provider-google/issues/22263
data "google_cloud_run_v2_service" "built" {
  for_each = toset(local.access == "iap" ? [local.dashboard] : [])

  name     = module.function[each.value].service
  location = var.region
}

resource "google_cloud_run_v2_service" "iap" {
  for_each = data.google_cloud_run_v2_service.built

  name                = local.dashboard_service
  location            = var.region
  description         = "The dashboard, for people whom IAP lets in."
  deletion_protection = false # it holds nothing
  iap_enabled         = true
  ingress             = "INGRESS_TRAFFIC_ALL"

  template {
    service_account                  = module.function[each.key].service_account
    timeout                          = "${local.functions[each.key].timeout_seconds}s"
    max_instance_request_concurrency = local.functions[each.key].concurrency

    scaling {
      max_instance_count = local.functions[each.key].max_instances
      min_instance_count = local.sized[each.key].min_instances
    }

    containers {
      image = each.value.template[0].containers[0].image

      resources {
        cpu_idle          = true
        startup_cpu_boost = true
        limits = {
          cpu    = tostring(local.functions[each.key].cpu)
          memory = "${local.functions[each.key].memory_mib}Mi"
        }
      }

      dynamic "env" {
        for_each = merge(module.function[each.key].environment, { FUNCTION_SIGNATURE_TYPE = "http", FUNCTION_TARGET = each.key })

        content {
          name  = env.key
          value = env.value
        }
      }

      dynamic "env" {
        for_each = module.function[each.key].secrets

        content {
          name = env.key

          value_source {
            secret_key_ref {
              secret  = env.value.id
              version = env.value.version
            }
          }
        }
      }
    }
  }
}

resource "google_cloud_run_v2_service_iam_member" "iap" {
  for_each = google_cloud_run_v2_service.iap

  name     = each.value.name
  location = var.region
  role     = "roles/run.invoker"
  member   = google_project_service_identity.iap["iap.googleapis.com"].member
}

resource "google_iap_web_cloud_run_service_iam_member" "person" {
  for_each = local.access == "iap" ? local.people : {}

  cloud_run_service_name = google_cloud_run_v2_service.iap[local.dashboard].name
  location               = var.region
  role                   = "roles/iap.httpsResourceAccessor"
  member                 = each.value
}
