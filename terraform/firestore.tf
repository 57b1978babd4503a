resource "google_firestore_database" "this" {
  name                              = var.database
  location_id                       = var.region
  type                              = "FIRESTORE_NATIVE"
  delete_protection_state           = var.protect_data ? "DELETE_PROTECTION_ENABLED" : "DELETE_PROTECTION_DISABLED"
  deletion_policy                   = var.protect_data ? "PREVENT" : "DELETE"
  point_in_time_recovery_enablement = var.point_in_time_recovery ? "POINT_IN_TIME_RECOVERY_ENABLED" : "POINT_IN_TIME_RECOVERY_DISABLED"

  depends_on = [google_project_service.this]
}

locals {
  # The last collection of the documents' paths, which fields are configured by.
  collection_groups = { for name in keys(local.manifest.collections) : name => lookup(local.manifest.collection_groups, name, name) }
}

# Documents are read by name only: no field needs an index, and blobs are larger than an index entry may be.
resource "google_firestore_field" "unindexed" {
  for_each = local.collection_groups

  database   = google_firestore_database.this.name
  collection = each.value
  field      = "*"

  index_config {}
}

resource "google_firestore_field" "expires_at" {
  for_each = toset(local.manifest.expiring)

  database   = google_firestore_database.this.name
  collection = local.collection_groups[each.value]
  field      = "expires_at"

  index_config {}
  ttl_config {}

  depends_on = [google_firestore_field.unindexed] # Firestore changes one field of a group at a time
}
