//! A guest's stack as text, innermost function first.
//!
//! Names are the component's own: as long as it likes, of any characters, and a mangled
//! one of some hundred bytes may stand for gigabytes. So the text is bounded while it
//! is made, frame by frame, and so is the work for it. The engine's own text is not.

use std::borrow::Cow;
use std::fmt::Write as _;

use wasmtime::WasmBacktrace;

use fanlight_telemetry::sanitize::one_line;

/// The longest text, in bytes. There are twenty frames at most.
const MAX_BACKTRACE: usize = 16 * 1024;
/// The longest name in it, in bytes, before what is escaped: a longer one is cut.
const MAX_NAME: usize = 512;
/// The longest name that is demangled, in bytes: the longest of its steps that write
/// nothing grow with it.
const MAX_MANGLED: usize = 1024;

/// Writes the frames, without those of adapters that no source has a name for.
pub(crate) fn backtrace_text(backtrace: &WasmBacktrace) -> String {
    let frames = backtrace.frames().iter().enumerate().map(|(n, it)| Frame {
        number: n,
        offset: it.module_offset(),
        module: it.module().name(),
        index: it.func_index(),
        function: it.func_name(),
    });
    text(frames)
}

struct Frame<'a> {
    number: usize,
    offset: Option<usize>,
    module: Option<&'a str>,
    index: u32,
    function: Option<&'a str>,
}

fn text<'a>(frames: impl Iterator<Item = Frame<'a>>) -> String {
    let mut text = String::new();
    for frame in frames {
        let function = match (frame.module, frame.function) {
            (None, None) => continue,
            (Some(_), None) => format!("<wasm function {}>", frame.index),
            (_, Some(name)) => function_name(name),
        };
        let module = one_line(frame.module.unwrap_or("<unknown>"), MAX_NAME);
        let offset = frame.offset.map(|it| format!("{it:#8x} - "));
        let line = format!(
            "  {:>3}: {}{module}!{function}",
            frame.number,
            offset.unwrap_or_default()
        );
        if text.len() + 1 + line.len() > MAX_BACKTRACE {
            break;
        }
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&line);
    }
    text
}

/// A function's name, demangled if it is a mangled one, in one line.
fn function_name(name: &str) -> String {
    // Without one of these prefixes a demangler takes `f` for the type `float`.
    if name.len() <= MAX_MANGLED && (name.starts_with("_Z") || name.starts_with("_R")) {
        if let Ok(demangled) = rustc_demangle::try_demangle(name) {
            return one_line(demangled, MAX_NAME);
        }
        if let Some(demangled) = cpp_name(name) {
            return one_line(demangled, MAX_NAME);
        }
    }
    one_line(name, MAX_NAME)
}

/// The name of a C++ function without its parameters, as in `space::f` of
/// `_ZN5space1fEi`. Other names stay mangled: those of templates, operators and lambdas
/// can be read by a parser of the whole grammar alone, and the one for Rust tries
/// alternatives for a time that doubles with every three bytes of a name.
fn cpp_name(mangled: &str) -> Option<String> {
    let rest = mangled.strip_prefix("_Z")?;
    let Some(mut rest) = rest.strip_prefix('N') else {
        let (rest, scope) = match rest.strip_prefix("St") {
            Some(rest) => (rest, "std::"),
            None => (rest, ""),
        };
        let (name, rest) = source_name(rest)?;
        return takes_parameters(rest).then(|| format!("{scope}{name}"));
    };
    // Of a member function: const and volatile, & and &&.
    rest = rest.trim_start_matches(['r', 'V', 'K', 'R', 'O']);
    let is_last = |rest: &str| rest[2..].starts_with('E');
    let mut path = String::new();
    let mut last = Cow::Borrowed("");
    if let Some(after) = rest.strip_prefix("St") {
        (last, rest) = (Cow::Borrowed("std"), after);
    }
    loop {
        if let Some(rest) = rest.strip_prefix('E') {
            let is_whole = !last.is_empty() && takes_parameters(rest);
            return is_whole.then(|| path + &last);
        }
        let name = match rest.get(..2) {
            Some("C1" | "C2" | "C3") if is_last(rest) => (last.clone(), &rest[2..]),
            Some("D0" | "D1" | "D2") if is_last(rest) => (format!("~{last}").into(), &rest[2..]),
            _ => source_name(rest).map(|(name, rest)| (name.into(), rest))?,
        };
        if !last.is_empty() {
            // Writing to a string does not fail.
            let _ = write!(path, "{last}::");
        }
        (last, rest) = name;
    }
}

/// A name with its length before it, and what follows.
fn source_name(mangled: &str) -> Option<(&str, &str)> {
    let digits = mangled.bytes().take_while(u8::is_ascii_digit).count();
    let (length, rest) = mangled.split_at(digits);
    let length = length.parse().ok().filter(|length| *length > 0)?;
    Some((rest.get(..length)?, rest.get(length..)?))
}

/// Whether what follows a function's name may be its parameters: not the arguments of a
/// template, nor tags.
fn takes_parameters(rest: &str) -> bool {
    !rest.starts_with(['I', 'B'])
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    /// Many times what it takes in a debug build on a busy machine.
    const AT_ONCE: Duration = Duration::from_secs(1);

    #[test]
    fn only_names_that_begin_as_mangled_ones_do_are_demangled() {
        for (name, shown) in [
            ("f", "f"),
            ("d", "d"),
            ("Pi", "Pi"),
            ("ZN3foo3barE", "ZN3foo3barE"),
            ("__ZN3foo3barE", "__ZN3foo3barE"),
            ("R", "R"),
            ("_Z", "_Z"),
            ("_ZN3foo3barE", "foo::bar"),
            (
                "_ZN3foo3bar17h05af221e174051e9E",
                "foo::bar::h05af221e174051e9",
            ),
            ("_RNvC6_123foo3bar", "123foo::bar"),
        ] {
            assert_eq!(function_name(name), shown, "{name}");
        }
    }

    #[test]
    fn a_plain_function_of_cpp_has_its_name_and_any_other_stays_as_it_is() {
        for (name, shown) in [
            ("_Z1fi", "f"),
            ("_ZN5space3fooEibc", "space::foo"),
            ("_ZNK5space5Thing3getEv", "space::Thing::get"),
            ("_ZN5space5ThingC2Ev", "space::Thing::Thing"),
            ("_ZN5space5ThingD0Ev", "space::Thing::~Thing"),
            ("_ZSt9terminatev", "std::terminate"),
            ("_ZNSt9exceptionD2Ev", "std::exception::~exception"),
        ] {
            assert_eq!(function_name(name), shown, "{name}");
        }
        for name in [
            "_Z1fIiEvT_",
            "_ZN1aIiE1fEv",
            "_ZplRK1aS1_",
            "_ZZ1fvENKUlvE_clEv",
            "_ZTV1a",
            "_Z9abc",
            "_Z0v",
            "_Z1éi",
            "_ZNC1Ev",
            "_ZN1aC1C1Ev",
            "_ZNEv",
            "_ZN1a",
            "_Z99999999999999999999999f",
        ] {
            assert_eq!(function_name(name), name);
        }
    }

    #[test]
    fn what_a_short_name_stands_for_is_bounded_while_it_is_written() {
        // Of C++: each part refers twice to the one before; parsers try one way after
        // another.
        let doubled = "_Z1fPFviiEPFvS0_S0_EPFvS2_S2_EPFvS4_S4_EPFvS6_S6_ES8_S8_S8_S8_".to_owned();
        let tried = format!("_Zcv{}i{}v", "T_I".repeat(40), "E".repeat(40));
        // Of Rust: tuples that refer twice to the one before, the first to a path of
        // names without a letter.
        let mut tuples = format!("_RIC1a{}C0{}", "Nv".repeat(200), "0".repeat(200));
        let mut last = base_62("IC1a".len());
        for _ in 0..30 {
            let at = tuples.len() - "_R".len();
            tuples.push_str(&format!("TB{last}B{last}E"));
            last = base_62(at);
        }
        tuples.push('E');
        assert!(tuples.len() < MAX_MANGLED);
        assert!(function_name(&tuples).ends_with('…'));
        let nested = format!("_RIC1a{}uE", "R".repeat(900));
        for name in [doubled, tried, tuples, nested, "_Z".repeat(50_000)] {
            let started_at = Instant::now();
            let shown = function_name(&name);
            assert!(shown.len() <= MAX_NAME + '…'.len_utf8(), "{shown}");
            assert!(started_at.elapsed() < AT_ONCE, "{name}");
        }
    }

    /// A number as references have it in Rust's names.
    fn base_62(number: usize) -> String {
        let digits = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
        let mut rest = number - 1;
        let mut text = vec![b'_'];
        loop {
            text.insert(0, digits[rest % 62]);
            rest /= 62;
            if rest == 0 {
                return String::from_utf8(text).unwrap();
            }
        }
    }

    #[test]
    fn a_stack_is_a_line_a_frame_within_its_bound_and_without_control_characters() {
        let long = "x".repeat(100_000);
        let frame = |number, module, function| Frame {
            number,
            offset: Some(0x1f),
            module,
            index: 7,
            function,
        };
        let few = [
            frame(0, Some("a\u{1b}[31m"), Some("b\n2026 INFO forged")),
            frame(1, None, None),
            frame(2, Some("a"), None),
            frame(3, None, Some("c")),
        ];
        assert_eq!(
            text(few.into_iter()),
            "    0:     0x1f - a\\u{1b}[31m!b\\n2026 INFO forged\n    \
             2:     0x1f - a!<wasm function 7>\n    \
             3:     0x1f - <unknown>!c"
        );
        let many = text((0..20).map(|n| frame(n, Some(&long), Some(&long))));
        assert!((MAX_BACKTRACE - 2048..=MAX_BACKTRACE).contains(&many.len()));
        assert!(many.lines().all(|line| line.ends_with("x…")));
    }
}
