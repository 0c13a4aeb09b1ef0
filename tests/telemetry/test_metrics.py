from app.telemetry.metrics import Metrics, labels


def test_nothing_is_shown_before_its_first_value() -> None:
    assert Metrics().render() == ""


def test_counters_keep_tei_names_and_labels() -> None:
    metrics = Metrics()
    metrics.count("te_request_count", 'method="batch"')
    metrics.count("te_request_count", 'method="single"')
    metrics.count("te_request_count", 'method="batch"', 4)
    assert metrics.render() == (
        "# TYPE te_request_count counter\n"
        'te_request_count{method="batch"} 5\n'
        'te_request_count{method="single"} 1\n\n'
    )


def test_a_gauge_shows_its_last_value() -> None:
    metrics = Metrics()
    metrics.set("te_queue_size", 7)
    metrics.set("te_queue_size", 0)
    assert metrics.render() == "# TYPE te_queue_size gauge\nte_queue_size 0\n\n"


def test_duration_buckets_are_tei_s_to_the_last_digit() -> None:
    metrics = Metrics()
    metrics.observe("te_request_duration", 0.0001)
    metrics.observe("te_request_duration", 100.0)
    lines = metrics.render().splitlines()
    buckets = [line for line in lines if "_bucket" in line]
    assert len(buckets) == 36
    assert buckets[0] == 'te_request_duration_bucket{le="0.000015000000000000002"} 0'
    assert buckets[-2] == 'te_request_duration_bucket{le="14.561096060497142"} 1'
    assert buckets[-1] == 'te_request_duration_bucket{le="+Inf"} 2'
    assert "te_request_duration_sum 100.0001" in lines
    assert "te_request_duration_count 2" in lines


def test_size_buckets_are_powers_of_two_up_to_the_longest_input() -> None:
    metrics = Metrics()
    metrics.bound_input_length(300)
    metrics.observe("te_request_input_length", 4, times=3)
    buckets = [line for line in metrics.render().splitlines() if "_bucket" in line]
    assert buckets[2] == 'te_request_input_length_bucket{le="4"} 3'  # a bound is in its bucket
    assert buckets[1] == 'te_request_input_length_bucket{le="2"} 0'
    assert buckets[-2] == 'te_request_input_length_bucket{le="256"} 3'
    assert "te_request_input_length_sum 12" in metrics.render()


def test_a_reading_is_asked_for_at_each_scrape() -> None:
    metrics = Metrics()
    values = iter([3, 0.25])
    metrics.read("te_permits_taken", "gauge", lambda: next(values))
    assert metrics.render() == "# TYPE te_permits_taken gauge\nte_permits_taken 3\n\n"
    assert "te_permits_taken 0.25\n" in metrics.render()


def test_label_values_are_escaped() -> None:
    assert labels(model='a\\b "c"\nd', dtype="float32") == (
        r'model="a\\b \"c\"\nd",dtype="float32"'
    )


def test_a_common_label_precedes_own_labels() -> None:
    metrics = Metrics()
    one = metrics.labelled(model='a "b"')
    metrics.count("te_request_failure", 'err="validation"')
    one.count("te_request_failure", 'err="validation"', 2)
    one.set("te_queue_size", 3)
    one.observe("te_batch_next_size", 5.0)
    one.read("te_shapes_wanted", "gauge", lambda: 7)
    text = metrics.render()
    assert one.render() == text
    lines = text.splitlines()
    for line in (
        'te_request_failure{err="validation"} 1',
        r'te_request_failure{model="a \"b\"",err="validation"} 2',
        r'te_queue_size{model="a \"b\""} 3',
        r'te_batch_next_size_bucket{model="a \"b\"",le="8"} 1',
        r'te_batch_next_size_sum{model="a \"b\""} 5',
        r'te_batch_next_size_count{model="a \"b\""} 1',
        r'te_shapes_wanted{model="a \"b\""} 7',
    ):
        assert line in lines
    assert text.count("# TYPE te_request_failure counter") == 1
