environment  = "dev"
protect_data = false
watch_itself = false

sizing = {
  ingest = { max_instances = 2 }
}
