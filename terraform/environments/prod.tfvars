environment            = "prod"
point_in_time_recovery = true
protect_data           = true
watch_itself           = true
