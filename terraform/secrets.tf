# Only the places: values are added by hand and never enter Terraform's state.
resource "google_secret_manager_secret" "this" {
  for_each = toset(flatten([for function in local.functions : function.secrets]))

  secret_id = "${var.prefix}${replace(lower(trimprefix(each.value, "ION_")), "_", "-")}"

  replication {
    auto {}
  }

  depends_on = [google_project_service.this]
}
