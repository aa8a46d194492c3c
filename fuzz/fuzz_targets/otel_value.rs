#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fanlight_server::fuzzing::otel_value(data));
