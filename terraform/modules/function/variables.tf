variable "archive" {
  description = "Path of the function's archive."
  type        = string
}

variable "bucket" {
  description = "Name of the bucket for archives."
  type        = string
}

variable "build_account" {
  description = "Full name of the service account that builds."
  type        = string
}

variable "database" {
  description = "Name of the one Firestore database that the function may use."
  type        = string
}

variable "environment" {
  description = "Environment variables by name."
  type        = map(string)
}

variable "function" {
  description = "The function as the manifest has it; sizes in vCPUs, MiB, requests at a time and seconds."
  type = object({
    concurrency     = number
    cpu             = number
    deletes         = list(string)
    description     = string
    max_instances   = number
    memory_mib      = number
    min_instances   = number
    project_roles   = optional(list(string), [])
    reads           = list(string)
    timeout_seconds = number
    trigger         = object({ type = string })
    writes          = list(string)
  })
}

variable "invokers" {
  description = "IAM members who may call the function, by a stable key."
  type        = map(string)
}

variable "name" {
  description = "The function's short name, which is its entry point's too."
  type        = string
}

variable "prefix" {
  description = "Stands before every name."
  type        = string
}

variable "project" {
  description = "Id of the project."
  type        = string
}

variable "region" {
  description = "Where the function runs."
  type        = string
}

variable "repository" {
  description = "Full name of the repository for the function's image."
  type        = string
}

variable "runtime" {
  description = "Python version, such as python311."
  type        = string
}

variable "secret_ids" {
  description = "Ids of the secrets that the function may read, by variable name."
  type        = map(string)
}

variable "secret_versions" {
  description = "Version numbers of the function's secrets, by variable name; one that is absent is not handed over."
  type        = map(string)
}

variable "topic_ids" {
  description = "Full names of the topics that the function may publish to, by short name."
  type        = map(string)
}
