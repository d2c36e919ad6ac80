//! The program that libFuzzer drives: the target is named by `PEERAGE_FUZZ_TARGET`. Started by the
//! driver (`src/main.rs`), which builds it with coverage.

#![no_main]

use std::sync::LazyLock;

static TARGET: LazyLock<peerage_fuzz::Target> = LazyLock::new(|| {
    let name = std::env::var("PEERAGE_FUZZ_TARGET").expect("PEERAGE_FUZZ_TARGET is set by the driver");
    peerage_fuzz::target(&name).unwrap_or_else(|| panic!("no target {name}"))
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    TARGET(bytes);
});
