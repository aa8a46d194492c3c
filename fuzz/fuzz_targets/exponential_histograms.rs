#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fanlight::fuzzing::exponential_histograms(data));
