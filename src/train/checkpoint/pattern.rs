//! Names, and patterns of names.

/// A name, or a pattern with one `*`, which stands for any text, also none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    before: String,
    /// What comes after the `*`, if there is one.
    after: Option<String>,
}

impl Pattern {
    /// # Errors
    /// Why the text is no pattern.
    pub fn new(text: &str) -> Result<Self, String> {
        let mut parts = text.split('*').map(str::to_owned);
        let (before, after) = (parts.next().unwrap_or_default(), parts.next());
        match parts.next() {
            None => Ok(Self { before, after }),
            Some(_) => Err(format!("`{text}` has more than one `*`")),
        }
    }

    /// Whether it is a pattern, not one name.
    pub const fn has_star(&self) -> bool {
        self.after.is_some()
    }

    /// What the `*` stands for in this name, nothing in a name alone; `None` where it does not match.
    pub fn matched<'n>(&self, name: &'n str) -> Option<&'n str> {
        let rest = name.strip_prefix(self.before.as_str())?;
        match &self.after {
            None => rest.is_empty().then_some(rest),
            Some(after) => rest.strip_suffix(after.as_str()),
        }
    }

    /// The name where the `*` stands for this.
    pub fn filled(&self, star: &str) -> String {
        match &self.after {
            None => self.before.clone(),
            Some(after) => format!("{}{star}{after}", self.before),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        let pattern = |text: &str| Pattern::new(text).unwrap();
        assert_eq!(pattern("a.b").matched("a.b"), Some(""));
        assert_eq!(pattern("a.b").matched("a.bc"), None);
        assert_eq!(pattern("a.*").matched("a.b.c"), Some("b.c"));
        assert_eq!(pattern("*.c").matched("a.b.c"), Some("a.b"));
        assert_eq!(pattern("a*a").matched("a"), None);
        assert_eq!(pattern("*").matched(""), Some(""));
        assert_eq!(pattern("x.*.y").filled("1"), "x.1.y");
        assert!(Pattern::new("a*b*").unwrap_err().contains("more than one"));
    }
}
