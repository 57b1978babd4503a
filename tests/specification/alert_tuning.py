"""The blocks of the specification about ``alert_tuning.py``, verbatim."""

KEY_METHODS = """\
analyzer = BaselineAnalyzer()

# Calculate baseline from values
baseline = analyzer.calculate_baseline(values, "response_time_us")

# Get recommended thresholds
thresholds = baseline.get_recommended_thresholds()
# Returns: {
#   "critical_upper": <3-sigma>,
#   "high_upper": <2-sigma>,
#   "medium_upper": <1-sigma>,
#   ...
# }

# Remove outliers
clean_data = analyzer.remove_outliers(values, method="iqr")

# Detect anomalies
anomalies = analyzer.detect_anomalies(values, baseline)

# Stability score (0-100)
score = analyzer.get_stability_score(values)
"""
