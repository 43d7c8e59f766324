//! A text as numbers: its vocabulary, its parts for training and validation, and windows of it.

use retrograd::Generator;

/// A text of which a tenth, its end, is kept for validation.
#[derive(Debug)]
pub struct Corpus {
    characters: Vec<char>,
    training: Vec<i32>,
    validation: Vec<i32>,
    context: usize,
}

/// Windows of a text and, for every place, the character that follows.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// `[batch, context]`, row by row.
    pub tokens: Vec<i32>,
    /// The same, one character later.
    pub next: Vec<i32>,
}

impl Corpus {
    /// Numbers the characters of a text in the order of their code points.
    pub fn new(text: &str, context: usize) -> Result<Self, String> {
        if text.is_empty() {
            return Err("the text is empty: there is nothing to learn from".into());
        }
        let mut characters: Vec<char> = text.chars().collect();
        characters.sort_unstable();
        characters.dedup();
        if let [only] = characters[..] {
            return Err(format!("the text has one character only, {only:?}: there is nothing to tell apart"));
        }
        let number = |letter: char| characters.binary_search(&letter).map_or(0, |place| place as i32);
        let mut training: Vec<i32> = text.chars().map(number).collect();
        let all = training.len();
        let validation = training.split_off(all - all / 10);
        if training.len() <= context || validation.len() <= context {
            return Err(format!(
                "the text has {all} characters, {} for training and {} for validation, and each part needs more than the \
                 context of {context}: use a text of at least {} characters, or a shorter context",
                training.len(),
                validation.len(),
                10 * (context + 1)
            ));
        }
        Ok(Self { characters, training, validation, context })
    }

    /// How many characters there are to tell apart.
    pub fn vocabulary(&self) -> usize {
        self.characters.len()
    }

    /// Windows of the training part that begin at these places.
    pub fn windows(&self, starts: impl Iterator<Item = usize>) -> Batch {
        self.cut(&self.training, starts)
    }

    /// Windows of the training part that begin anywhere.
    pub fn random(&self, batch: usize, generator: &mut Generator) -> Batch {
        let choices = self.choices();
        self.windows((0..batch).map(|_| generator.below(choices)))
    }

    /// At how many places a window of the training part can begin.
    pub fn choices(&self) -> usize {
        self.training.len() - self.context
    }

    /// Batches of the validation part, window after window; where they do not fill the last batch, it is left out, and a
    /// part that fills none is repeated.
    pub fn validation(&self, batch: usize) -> Vec<Batch> {
        let windows = (self.validation.len() - 1) / self.context;
        let cut = |first: usize| {
            self.cut(&self.validation, (first..first + batch).map(|window| window % windows * self.context))
        };
        (0..(windows / batch).max(1)).map(|number| cut(number * batch)).collect()
    }

    fn cut(&self, text: &[i32], starts: impl Iterator<Item = usize>) -> Batch {
        let mut cut = Batch::default();
        for start in starts {
            let end = start + self.context;
            cut.tokens.extend(&text[start..end]);
            cut.next.extend(&text[start + 1..=end]);
        }
        cut
    }

    /// What a table of which character follows which reaches on the validation part, in nats per character: every pair is
    /// counted once more than it occurs.
    pub fn bigram_loss(&self) -> f64 {
        let size = self.vocabulary();
        let mut counts = vec![1.0f64; size * size];
        let place = |pair: &[i32]| pair[0] as usize * size + pair[1] as usize;
        self.training.windows(2).for_each(|pair| counts[place(pair)] += 1.0);
        let totals: Vec<f64> = counts.chunks(size).map(|row| row.iter().sum()).collect();
        let loss = |pair: &[i32]| -(counts[place(pair)] / totals[pair[0] as usize]).ln();
        self.validation.windows(2).map(loss).sum::<f64>() / (self.validation.len() - 1) as f64
    }

    /// The numbers of the characters of a text.
    pub fn encode(&self, text: &str) -> Result<Vec<i32>, String> {
        let number = |letter: char| {
            let found = self.characters.binary_search(&letter).map(|place| place as i32);
            found.map_err(|_| format!("the character {letter:?} of the prompt does not occur in the text"))
        };
        text.chars().map(number).collect()
    }

    /// The text of numbers.
    pub fn decode(&self, tokens: &[i32]) -> String {
        tokens.iter().map(|&token| self.characters[token as usize]).collect()
    }
}
