#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fanlight::fuzzing::otel_value(data));
