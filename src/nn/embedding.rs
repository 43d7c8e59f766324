use crate::record::{Init, Param, Params, Tensor};

/// A row of a table for every index: indices (`i32`) `[..]` give `[.., size]`. See [`Tensor::embedding`].
#[derive(Clone, Debug)]
pub struct Embedding {
    name: String,
    weight: Param,
}

impl Embedding {
    /// A table of so many entries of `size` elements, which start normally distributed with deviation 1, as in `PyTorch`.
    #[track_caller]
    pub fn new(params: &mut Params, name: &str, entries: usize, size: usize) -> Self {
        Self::with_init(params, name, entries, size, Init::Normal(0.0, 1.0))
    }

    /// With given initial values.
    #[track_caller]
    pub fn with_init(params: &mut Params, name: &str, entries: usize, size: usize, init: Init) -> Self {
        if entries == 0 || size == 0 {
            let reason =
                format!("a table of {entries} entries of {size} elements holds nothing: use at least 1 of each");
            params.refuse(&format!("embedding `{name}`"), reason);
        }
        // With one instead of none, what uses the layer adds no mistake of its own.
        let shape = [entries.max(1), size.max(1)];
        Self { name: name.to_owned(), weight: params.add(&format!("{name}.weight"), shape, init) }
    }

    /// The table, `[entries, size]`.
    #[must_use]
    pub const fn weight(&self) -> &Param {
        &self.weight
    }
}

impl Embedding {
    /// From indices (`i32`) `[..]` to `[.., size]`.
    #[must_use]
    #[track_caller]
    pub fn forward<'g>(&self, index: Tensor<'g>) -> Tensor<'g> {
        let graph = index.graph();
        let _scope = graph.scope(&self.name);
        graph.param(&self.weight).embedding(index)
    }
}
