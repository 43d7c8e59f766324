use crate::ops::{CellWeights, gru_step, lstm_step, rnn_step};
use crate::record::{Graph, Init, Param, Params, Tensor};

/// Most positions of a sequence: each is recorded, with its gradient.
const LONGEST: usize = 1 << 16;

/// The weights of one layer of cells.
#[derive(Clone, Debug)]
struct Weights {
    input: Param,
    hidden: Param,
    input_bias: Param,
    hidden_bias: Param,
}

impl Weights {
    #[track_caller]
    fn new(params: &mut Params, name: &str, gates: usize, layer: usize, inputs: usize, hidden: usize) -> Self {
        let bound = (hidden.max(1) as f64).sqrt().recip();
        // What overflows is refused where it is added.
        let rows = hidden.saturating_mul(gates);
        let (named, init) = (|part: &str| format!("{name}.{part}_l{layer}"), Init::Uniform(-bound, bound));
        // No closure adds them, as closures do not pass the caller's line on.
        Self {
            input: params.add(&named("weight_ih"), [rows, inputs], init.clone()),
            hidden: params.add(&named("weight_hh"), [rows, hidden], init.clone()),
            input_bias: params.add(&named("bias_ih"), [rows], init.clone()),
            hidden_bias: params.add(&named("bias_hh"), [rows], init),
        }
    }

    fn on<'g>(&self, graph: &'g Graph) -> CellWeights<'g> {
        CellWeights {
            input: graph.param(&self.input),
            hidden: graph.param(&self.hidden),
            input_bias: Some(graph.param(&self.input_bias)),
            hidden_bias: Some(graph.param(&self.hidden_bias)),
        }
    }
}

/// Layers of cells, one on another.
#[derive(Clone, Debug)]
struct Stack {
    name: String,
    inputs: usize,
    hidden: usize,
    layers: Vec<Weights>,
}

impl Stack {
    #[track_caller]
    fn new(params: &mut Params, name: &str, gates: usize, inputs: usize, hidden: usize, layers: usize) -> Self {
        if layers == 0 || hidden == 0 {
            let reason = format!("{layers} layers of {hidden} elements: it needs at least one of each");
            params.refuse(&format!("recurrent layer `{name}`"), reason);
        }
        let width = |layer: usize| if layer == 0 { inputs } else { hidden };
        let mut weights = Vec::new();
        for layer in 0..if hidden == 0 { 0 } else { layers } {
            weights.push(Weights::new(params, name, gates, layer, width(layer), hidden));
        }
        Self { name: name.to_owned(), inputs, hidden, layers: weights }
    }

    /// Unrolls the layers over `[batch, length, inputs]`. `step` makes the next states from the input's part of the gates and
    /// the states, of which the first is the output; `states` is how many a cell has. The result is all outputs of the last
    /// layer, `[batch, length, hidden]`, and the states of every layer at the end.
    #[track_caller]
    fn unroll<'g>(
        &self,
        x: Tensor<'g>,
        states: usize,
        step: impl Fn(Tensor<'g>, &[Tensor<'g>], &CellWeights<'g>) -> Vec<Tensor<'g>>,
    ) -> (Tensor<'g>, Vec<Vec<Tensor<'g>>>) {
        let graph = x.graph();
        let _scope = graph.scope(&self.name);
        let shape = x.shape();
        if !x.is_valid() || shape.rank() != 3 || shape[2] != self.inputs {
            let reason = format!("it needs an input [batch, length, {}], and {shape} is another", self.inputs);
            let invalid = graph.fault("recurrent", &[x], reason);
            return (invalid, vec![vec![invalid; states]; self.layers.len()]);
        }
        let (batch, length) = (shape[0], shape[1]);
        if length > LONGEST {
            let reason = format!(
                "a sequence of {length} positions is too long to unroll, at most {LONGEST}: cut it into windows"
            );
            let invalid = graph.fault("recurrent", &[x], reason);
            return (invalid, vec![vec![invalid; states]; self.layers.len()]);
        }
        let (mut sequence, mut last) = (x, Vec::new());
        for weights in &self.layers {
            let weights = weights.on(graph);
            if let Some(refused) = weights.tensors().into_iter().find(|weight| !weight.is_valid()) {
                // It was reported where it was added, and has no extents to cut into gates.
                return (refused, vec![vec![refused; states]; self.layers.len()]);
            }
            // One product for all positions; only the state's part has to wait for the position before.
            let of_input = weights.of_input(sequence);
            let mut state = vec![graph.full([batch, self.hidden], 0.0); states];
            let mut outputs = Vec::new();
            for position in 0..length {
                let own = of_input.slice(1, position..position + 1).squeeze(1);
                state = step(own, &state, &weights);
                outputs.push(state[0]);
            }
            sequence = graph.stack(&outputs, 1);
            last.push(state);
        }
        (sequence, last)
    }
}

macro_rules! recurrent {
    ($(#[$about:meta])* $name:ident, $gates:literal, $states:literal, $step:expr, $of_states:literal) => {
        $(#[$about])*
        #[derive(Clone, Debug)]
        pub struct $name(Stack);

        impl $name {
            /// One layer of `hidden` elements. Weights start uniform within 1 / sqrt(hidden); their names are those of
            /// `PyTorch`, such as `weight_ih_l0`.
            #[track_caller]
            pub fn new(params: &mut Params, name: &str, inputs: usize, hidden: usize) -> Self {
                Self::stacked(params, name, inputs, hidden, 1)
            }

            /// So many layers, each over the outputs of the one before.
            #[track_caller]
            pub fn stacked(params: &mut Params, name: &str, inputs: usize, hidden: usize, layers: usize) -> Self {
                Self(Stack::new(params, name, $gates, inputs, hidden, layers))
            }

            /// All outputs of the last layer, `[batch, length, hidden]`, and
            #[doc = $of_states]
            #[must_use]
            #[track_caller]
            pub fn unroll<'g>(&self, x: Tensor<'g>) -> (Tensor<'g>, Vec<Vec<Tensor<'g>>>) {
                let size = self.0.hidden;
                self.0.unroll(x, $states, |own, state, weights| $step(own, state, weights, size))
            }
        }

        impl $name {
            /// Records the layer's ops on `x`.
            #[must_use]
            #[track_caller]
            pub fn forward<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
                self.unroll(x).0
            }
        }
    };
}

recurrent! {
    /// Long short-term memory, unrolled over a sequence from a state of zeros: see [`Tensor::lstm_cell`].
    Lstm, 4, 2, lstm, "for every layer its state at the end, h and c, `[batch, hidden]` each."
}

recurrent! {
    /// Gated recurrent units, unrolled over a sequence from a state of zeros: see [`Tensor::gru_cell`].
    Gru, 3, 1, gru, "for every layer its state at the end, h, `[batch, hidden]`."
}

recurrent! {
    /// Plain recurrent cells, unrolled over a sequence from a state of zeros: see [`Tensor::rnn_cell`].
    Rnn, 1, 1, rnn, "for every layer its state at the end, h, `[batch, hidden]`."
}

fn lstm<'g>(own: Tensor<'g>, state: &[Tensor<'g>], weights: &CellWeights<'g>, size: usize) -> Vec<Tensor<'g>> {
    let (hidden, cell) = lstm_step(own, state[0], state[1], weights, size);
    vec![hidden, cell]
}

fn gru<'g>(own: Tensor<'g>, state: &[Tensor<'g>], weights: &CellWeights<'g>, size: usize) -> Vec<Tensor<'g>> {
    vec![gru_step(own, state[0], weights, size)]
}

fn rnn<'g>(own: Tensor<'g>, state: &[Tensor<'g>], weights: &CellWeights<'g>, _size: usize) -> Vec<Tensor<'g>> {
    vec![rnn_step(own, state[0], weights)]
}
