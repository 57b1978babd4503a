# The places of secrets. A value is added by hand, or from `secret_values`, which no plan and no state remembers.

locals {
  secrets     = toset(flatten([for function in values(local.manifest.functions) : function.secrets]))
  secrets_set = toset(concat(keys(var.secret_versions), keys(var.secret_revisions)))

  secret_versions = merge(
    { for name, version in var.secret_versions : name => tostring(version) },
    { for name, made in google_secret_manager_secret_version.this : name => made.version },
  )
}

# A public function comes with its secret, so the places of its secrets are there before it is.
resource "google_secret_manager_secret" "this" {
  for_each = toset(flatten([for name, one in local.manifest.functions : one.secrets if !contains(var.disabled_functions, name)]))

  secret_id = "${var.prefix}${replace(lower(trimprefix(each.value, "ION_")), "_", "-")}"

  replication {
    auto {}
  }

  depends_on = [google_project_service.this]
}

resource "google_secret_manager_secret_version" "this" {
  for_each = { for name, revision in var.secret_revisions : name => revision if contains(keys(google_secret_manager_secret.this), name) }

  secret                 = google_secret_manager_secret.this[each.key].id
  secret_data_wo         = var.secret_values[each.key]
  secret_data_wo_version = each.value

  lifecycle {
    create_before_destroy = true # functions go on with the old one until they have the new one
  }
}
