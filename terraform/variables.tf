variable "archives" {
  description = "Folder with the functions' archives, NAME.zip each, as `python -m shared.bundle` writes them."
  type        = string
  default     = "../build"
}

variable "dashboard_url" {
  description = "Address of the dashboard in notifications; null means the function's own."
  type        = string
  default     = null

  validation {
    condition     = var.dashboard_url == null || can(regex("^https://[^ ]+$", var.dashboard_url))
    error_message = "dashboard_url: expected an https:// address."
  }
}

variable "database" {
  description = "Name of the Firestore database, which is made here."
  type        = string
  default     = "ion-monitoring"

  validation {
    condition     = can(regex("^(\\(default\\)|[a-z][a-z0-9-]{2,61}[a-z0-9])$", var.database))
    error_message = "database: expected (default), or 4-63 of a-z, 0-9 and -, beginning with a letter."
  }
}

variable "environment" {
  description = "What this deployment is, as a label on everything."
  type        = string

  validation {
    condition     = contains(["dev", "prod"], var.environment)
    error_message = "environment: expected dev or prod."
  }
}

variable "prefix" {
  description = "Stands before every name, so that a project can hold other things; at most 12 characters with the - at its end."
  type        = string
  default     = "ion-"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,10}-$", var.prefix))
    error_message = "prefix: expected 2-12 of a-z, 0-9 and -, beginning with a letter and ending with -."
  }
}

variable "project" {
  description = "Id of the project that holds everything."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "project: expected a project id, 6-30 of a-z, 0-9 and -."
  }
}

variable "protect_data" {
  description = "Whether the database refuses to be deleted."
  type        = bool
  default     = true
}

variable "region" {
  description = "Where functions run and data lies."
  type        = string
  default     = "us-central1"

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region: expected a region such as us-central1."
  }
}

variable "runtime" {
  description = "Python version of the functions; the tests run on the default."
  type        = string
  default     = "python311"

  validation {
    condition     = contains(["python311", "python312", "python313"], var.runtime)
    error_message = "runtime: expected python311, python312 or python313."
  }
}

variable "secret_versions" {
  description = "Version number of each secret to hand to functions, by variable name; a secret that is absent here is not set."
  type        = map(number)
  default     = {}

  validation {
    condition     = alltrue([for name, version in var.secret_versions : startswith(name, "ION_") && version >= 1 && floor(version) == version])
    error_message = "secret_versions: expected names such as ION_WEBHOOK_URL with whole numbers from 1."
  }
}

variable "viewers" {
  description = "IAM members who may open the dashboard, such as group:operators@example.com."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for member in var.viewers : can(regex("^(user|group|serviceAccount|domain):[^ ]+$", member))])
    error_message = "viewers: expected members such as user:ana@example.com; never allUsers or allAuthenticatedUsers."
  }
}
