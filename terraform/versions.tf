terraform {
  required_version = ">= 1.11" # values that never enter the state

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 7.45" # the one that is tested
    }
    google-beta = {
      source  = "hashicorp/google-beta"
      version = "~> 7.45" # the one that is tested
    }
    time = {
      source  = "hashicorp/time"
      version = "~> 0.14"
    }
  }
}

provider "google" {
  project        = var.project
  region         = var.region
  default_labels = local.labels
}

provider "google-beta" {
  project        = var.project
  region         = var.region
  default_labels = local.labels
}

# Budgets belong to no project; whoever asks for one has to name a project that the request counts for.
provider "google" {
  alias                 = "billing"
  project               = var.project
  billing_project       = var.project
  user_project_override = true
  default_labels        = local.labels
}

locals {
  labels = merge(var.labels, {
    application = "ion-monitoring"
    environment = var.environment
    managed_by  = "terraform"
  })
}
