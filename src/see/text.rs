//! Texts and numbers as pictures and pages show them.

use std::fmt::Write as _;

/// A text for XML and HTML, in elements and quoted attributes: what would be markup is spelled out, and characters that XML
/// has no place for are replaced.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(character),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            _ if character.is_control() => escaped.push('\u{fffd}'),
            _ => escaped.push(character),
        }
    }
    escaped
}

/// A text on one line, of at most so many characters.
pub fn shortened(text: &str, most: usize) -> String {
    let line: String = text.chars().map(|own| if own.is_control() { ' ' } else { own }).collect();
    if line.chars().count() <= most {
        return line;
    }
    line.chars().take(most.saturating_sub(1)).chain(['\u{2026}']).collect()
}

/// A number with three significant digits.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "\u{221e}".into() } else { "-\u{221e}".into() };
    }
    if value == 0.0 {
        return "0".into();
    }
    if !(1e-3..9_999.5).contains(&size) {
        return scientific(value);
    }
    let digits = (2 - size.log10().floor() as i32).max(0) as usize;
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn scientific(value: f64) -> String {
    let text = format!("{value:.2e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) if mantissa.contains('.') => {
            format!("{}e{exponent}", mantissa.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => text,
    }
}

/// Bytes with a unit of powers of 1,024.
pub fn bytes(count: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut scaled = count as f64;
    let mut unit = 0;
    while scaled >= 1024.0 && unit + 1 < units.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{} {}", number(scaled), units[unit]) }
}

/// A whole number with commas between thousands.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Pixels that a text takes at a size, roughly: of a usual sans-serif font, rather too many than too few.
pub fn width(text: &str, size: f64) -> f64 {
    let narrow = |own: char| matches!(own, 'i' | 'l' | 'j' | 'f' | 't' | 'I' | '.' | ',' | ':' | '\'' | '|' | ' ');
    let of = |own: char| match own {
        _ if narrow(own) => 0.36,
        'm' | 'w' | 'M' | 'W' | '%' | '@' | '\u{2026}' => 0.98,
        _ if own.is_ascii_uppercase() => 0.72,
        _ if own.is_ascii() => 0.62,
        _ => 1.0,
    };
    text.chars().map(of).sum::<f64>() * size
}

/// A text in the quotes of the DOT language, where lines stay apart.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            _ if character.is_control() => quoted.push('\u{fffd}'),
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

/// A coordinate with at most one decimal, so that pictures stay small and the same everywhere.
pub fn coordinate(value: f64) -> String {
    let rounded = (value * 10.0).round() / 10.0;
    let mut text = String::new();
    // A text takes everything.
    let _ = write!(text, "{}", if rounded == 0.0 { 0.0 } else { rounded });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_three_digits() {
        for (value, text) in [
            (0.0, "0"),
            (-12.0, "-12"),
            (0.731_058, "0.731"),
            (0.001, "0.001"),
            (0.000_999, "9.99e-4"),
            (9_999.0, "9999"),
            (1e6, "1e6"),
            (1.25e300, "1.25e300"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-\u{221e}"),
            (99.96, "100"),
        ] {
            assert_eq!(number(value), text);
        }
        assert_eq!((bytes(1023), bytes(1536), bytes(u64::MAX)), ("1023 B".into(), "1.5 KiB".into(), "16 EiB".into()));
        assert_eq!(
            (grouped(999), grouped(1000), grouped(12_345_678)),
            ("999".into(), "1,000".into(), "12,345,678".into())
        );
    }

    #[test]
    fn markup_and_control_characters_never_pass() {
        assert_eq!(escape("<a b='c'>&\"\u{7}"), "&lt;a b=&#39;c&#39;&gt;&amp;&quot;\u{fffd}");
        assert_eq!(quoted("a \"b\" \\n\nc"), "\"a \\\"b\\\" \\\\n\\nc\"");
        assert_eq!((shortened("a\nbcd", 4), shortened("abc", 3)), ("a b\u{2026}".into(), "abc".into()));
    }
}
