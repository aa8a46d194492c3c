#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fanlight_relink::fuzzing::relinked(data));
