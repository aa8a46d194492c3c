-- Tells in one line what was measured: requests, microseconds, errors, p50, p99.
done = function(summary, latency, requests)
    local e = summary.errors
    io.write(string.format("result %d %d %d %.1f %.1f\n", summary.requests, summary.duration,
        e.connect + e.read + e.write + e.status + e.timeout,
        latency:percentile(50), latency:percentile(99)))
end
