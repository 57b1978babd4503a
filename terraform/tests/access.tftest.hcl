# Who may open the dashboard, what is public, what is refused. `terraform test` needs the archives of `make bundle`.

mock_provider "google" {
  mock_data "google_cloud_run_v2_service" {
    defaults = { template = [{ containers = [{ image = "us-docker.pkg.dev/p/functions/dashboard@sha256:0" }] }] }
  }

  mock_data "google_project" {
    defaults = { number = "123456789012" }
  }

  mock_resource "google_pubsub_topic" {
    defaults = { id = "projects/ion-mocked/topics/ion-mocked" }
  }

  mock_resource "google_service_account" {
    defaults = {
      email  = "mocked@ion-mocked.iam.gserviceaccount.com"
      id     = "projects/ion-mocked/serviceAccounts/mocked@ion-mocked.iam.gserviceaccount.com"
      member = "serviceAccount:mocked@ion-mocked.iam.gserviceaccount.com"
      name   = "projects/ion-mocked/serviceAccounts/mocked@ion-mocked.iam.gserviceaccount.com"
    }
  }
}

mock_provider "google" {
  alias = "billing"
}

mock_provider "google-beta" {
  mock_resource "google_project_service_identity" {
    defaults = { member = "serviceAccount:service-123456789012@gcp-sa-mocked.iam.gserviceaccount.com" }
  }
}

mock_provider "time" {}

variables {
  project       = "ion-mocked"
  secret_values = {} # a test asks for ephemeral variables though they have a default
}

run "proxy_when_nobody_is_named" {
  command = plan

  assert {
    condition     = output.dashboard_url == "http://127.0.0.1:8080" && startswith(output.dashboard_command, "gcloud run services proxy ion-dashboard ")
    error_message = "Without names the dashboard is opened through gcloud."
  }

  assert {
    condition     = length(google_cloud_run_v2_service.iap) == 0
    error_message = "Without names there is nothing for IAP to guard."
  }
}

run "iap_when_people_are_named" {
  variables {
    operators = ["user:ana@example.com"]
    viewers   = ["group:team@example.com"]
  }

  assert {
    condition     = google_cloud_run_v2_service.iap["dashboard"].iap_enabled && google_cloud_run_v2_service.iap["dashboard"].template[0].containers[0].image == "us-docker.pkg.dev/p/functions/dashboard@sha256:0"
    error_message = "IAP guards a service that runs the function's image."
  }

  assert {
    condition     = keys(google_iap_web_cloud_run_service_iam_member.person) == ["group:team@example.com", "user:ana@example.com"]
    error_message = "IAP lets in viewers and operators, and nobody else."
  }

  assert {
    condition     = output.dashboard_url == "https://ion-dashboard-iap-123456789012.us-central1.run.app" && output.dashboard_command == null
    error_message = "Links lead to the service behind IAP."
  }
}

run "public_on_request" {
  command = plan

  variables {
    dashboard_access = "public"
    viewers          = ["group:team@example.com"]
  }

  assert {
    condition     = length(google_cloud_run_v2_service.iap) == 0 && length(google_iap_web_cloud_run_service_iam_member.person) == 0 && output.dashboard_command == null
    error_message = "A public dashboard is the function itself, and asks nobody's name."
  }
}

run "everybody_is_no_viewer" {
  command = plan

  variables {
    viewers = ["allUsers"]
  }

  expect_failures = [var.viewers]
}

run "a_group_is_no_operator" {
  command = plan

  variables {
    operators = ["group:team@example.com"]
  }

  expect_failures = [var.operators]
}

run "access_is_one_of_three" {
  command = plan

  variables {
    dashboard_access = "open"
  }

  expect_failures = [var.dashboard_access]
}

run "the_main_path_cannot_be_left_out" {
  command = plan

  variables {
    disabled_functions = ["evaluate"]
  }

  expect_failures = [var.disabled_functions]
}

run "more_instances_at_least_than_at_most" {
  command = plan

  variables {
    sizing = { ingest = { min_instances = 11 } }
  }

  expect_failures = [var.sizing]
}
