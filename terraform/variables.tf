variable "alert_emails" {
  description = "E-mail addresses that hear when the monitoring itself is ill, see watch_itself."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for address in var.alert_emails : can(regex("^[^@ ]+@[^@ ]+$", address))])
    error_message = "alert_emails: expected e-mail addresses such as oncall@example.com."
  }
}

variable "archives" {
  description = "Folder with the functions' archives, NAME.zip each, as `make bundle` writes them."
  type        = string
  default     = "../build"
}

variable "backup_days" {
  description = "How many days a daily backup of the database is kept, at most 98; 0 makes none."
  type        = number
  default     = 0

  validation {
    condition     = try(var.backup_days >= 0 && var.backup_days <= 98 && floor(var.backup_days) == var.backup_days, false)
    error_message = "backup_days: expected a whole number from 0 to 98."
  }
}

variable "budget" {
  description = "Mails at 50, 90 and 100 % of monthly_usd (whole dollars a month); null is none."
  type = object({
    billing_account = string
    monthly_usd     = number
  })
  default = null

  validation {
    condition     = var.budget == null || can(regex("^[0-9A-F]{6}(-[0-9A-F]{6}){2}$", var.budget.billing_account))
    error_message = "budget: expected billing_account as in 012345-6789AB-CDEF01."
  }

  validation {
    condition     = var.budget == null || try(var.budget.monthly_usd >= 1 && floor(var.budget.monthly_usd) == var.budget.monthly_usd, false)
    error_message = "budget: expected monthly_usd as whole dollars from 1."
  }
}

variable "dashboard_access" {
  description = "iap: people who are named, at its own address; proxy: whoever may call it, through gcloud; public: everybody, to read only. Null is iap where viewers or operators are named, else proxy."
  type        = string
  default     = null

  validation {
    condition     = var.dashboard_access == null || contains(["iap", "proxy", "public"], coalesce(var.dashboard_access, "-"))
    error_message = "dashboard_access: expected iap, proxy or public."
  }
}

variable "dashboard_url" {
  description = "Address of the dashboard in notifications, where a domain of one's own leads to it; null is the dashboard's own."
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

variable "disabled_functions" {
  description = "Functions that are not deployed, such as collect; the main path of metrics, alerts and pages cannot be left out."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for name in var.disabled_functions : contains(keys(local.manifest.functions), name) && !contains(["ingest", "evaluate", "notify", "dashboard"], name)])
    error_message = "disabled_functions: expected functions of the manifest other than ingest, evaluate, notify and dashboard."
  }
}

variable "environment" {
  description = "What this deployment is, as a label on everything."
  type        = string
  default     = "prod"

  validation {
    condition     = contains(["dev", "prod"], var.environment)
    error_message = "environment: expected dev or prod."
  }
}

variable "labels" {
  description = "Further labels on everything that can carry labels."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name, value in var.labels : can(regex("^[a-z][a-z0-9_-]{0,62}$", name)) && can(regex("^[a-z0-9_-]{0,63}$", value))])
    error_message = "labels: expected names and values of at most 63 of a-z, 0-9, _ and -, names beginning with a letter."
  }
}

variable "operators" {
  description = "IAM members who may open the dashboard, acknowledge and silence: persons, as user:ana@example.com, because the dashboard compares addresses."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for member in var.operators : can(regex("^user:[^ ,]+@[^ ,]+$", member))])
    error_message = "operators: expected persons such as user:ana@example.com."
  }

  validation {
    condition     = length(var.operators) == 0 || var.dashboard_access != "proxy"
    error_message = "operators: expected none with dashboard_access proxy, behind which nobody is known; name viewers, or leave dashboard_access out."
  }
}

variable "point_in_time_recovery" {
  description = "Whether the database can be read as it was at any minute of the last 7 days; costs storage."
  type        = bool
  default     = false
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
  description = "Where functions run and data lies: a region with Cloud Run functions, Cloud Scheduler and Firestore."
  type        = string
  default     = "us-central1"

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region: expected a region such as us-central1."
  }
}

variable "secret_revisions" {
  description = "Secrets that are made from secret_values, by variable name; a number that is raised takes the value that is there then."
  type        = map(number)
  default     = {}

  validation {
    condition     = alltrue([for name, revision in var.secret_revisions : contains(local.secrets, name) && try(revision >= 1 && floor(revision) == revision, false)])
    error_message = "secret_revisions: expected names of secrets such as ION_WEBHOOK_URL with whole numbers from 1."
  }

  validation {
    condition     = length(setintersection(keys(var.secret_revisions), keys(var.secret_versions))) == 0
    error_message = "secret_revisions: expected no name that is in secret_versions too."
  }
}

variable "secret_values" {
  description = "Values of the secrets in secret_revisions, by variable name; in no plan and no state. Best given by TF_VAR_secret_values."
  type        = map(string)
  default     = {}
  ephemeral   = true
}

variable "secret_versions" {
  description = "Version number of each secret that was added by hand, by variable name; a secret that is in neither map is not handed to functions."
  type        = map(number)
  default     = {}

  validation {
    condition     = alltrue([for name, version in var.secret_versions : contains(local.secrets, name) && try(version >= 1 && floor(version) == version, false)])
    error_message = "secret_versions: expected names of secrets such as ION_WEBHOOK_URL with whole numbers from 1."
  }
}

variable "sizing" {
  description = "Other sizes than the manifest's, by function: cpu in vCPUs, memory_mib, concurrency in requests at a time, instances."
  type = map(object({
    concurrency   = optional(number)
    cpu           = optional(number)
    max_instances = optional(number)
    memory_mib    = optional(number)
    min_instances = optional(number)
  }))
  default = {}

  validation {
    condition     = alltrue([for name in keys(var.sizing) : contains(keys(local.manifest.functions), name)])
    error_message = "sizing: expected names of functions such as ingest."
  }

  validation {
    condition     = alltrue([for one in values(var.sizing) : one.cpu == null || try((one.cpu >= 0.08 && one.cpu < 1) || contains([1, 2, 4, 6, 8], one.cpu), false)])
    error_message = "sizing: expected cpu as a part of 1 from 0.08, or 1, 2, 4, 6 or 8 vCPUs."
  }

  validation {
    condition     = alltrue([for one in values(var.sizing) : one.memory_mib == null || try(one.memory_mib >= 256 && one.memory_mib <= 32768 && floor(one.memory_mib) == one.memory_mib, false)])
    error_message = "sizing: expected memory_mib as a whole number from 256 to 32768."
  }

  validation {
    condition     = alltrue([for one in values(var.sizing) : one.concurrency == null || try(one.concurrency >= 1 && one.concurrency <= 1000 && floor(one.concurrency) == one.concurrency, false)])
    error_message = "sizing: expected concurrency as a whole number from 1 to 1000."
  }

  validation {
    condition     = alltrue([for name, one in var.sizing : try(coalesce(one.concurrency, local.manifest.functions[name].concurrency) == 1 || coalesce(one.cpu, local.manifest.functions[name].cpu) >= 1, true)])
    error_message = "sizing: expected at least 1 cpu for a concurrency above 1."
  }

  validation {
    condition = alltrue([for name, one in var.sizing : try(
      coalesce(one.min_instances, local.manifest.functions[name].min_instances) >= 0 &&
      coalesce(one.max_instances, local.manifest.functions[name].max_instances) >= max(1, coalesce(one.min_instances, local.manifest.functions[name].min_instances)) &&
      coalesce(one.max_instances, local.manifest.functions[name].max_instances) <= 1000,
      true,
    )])
    error_message = "sizing: expected 0 <= min_instances <= max_instances, with max_instances from 1 to 1000."
  }
}

variable "viewers" {
  description = "IAM members who may open the dashboard, such as group:team@example.com."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for member in var.viewers : can(regex("^(user|group|serviceAccount|domain):[^ ]+$", member))])
    error_message = "viewers: expected members such as user:ana@example.com; never allUsers or allAuthenticatedUsers."
  }
}

variable "watch_itself" {
  description = "Whether Cloud Monitoring alerts on the monitoring itself: dead letters, errors, silence, messages that are not taken."
  type        = bool
  default     = true
}
