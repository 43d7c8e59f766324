//! Cells of recurrent networks: from an input and a state to the next state. Composed of matrix products and pointwise ops,
//! with the gates of one cell side by side in one product, in the order of `PyTorch`.

use crate::record::{Case, CaseInput, Tensor};

/// The weights of a recurrent cell with G gates of `hidden` elements each.
#[derive(Clone, Copy, Debug)]
pub struct CellWeights<'g> {
    /// Of the input, `[G hidden, inputs]`.
    pub input: Tensor<'g>,
    /// Of the state, `[G hidden, hidden]`.
    pub hidden: Tensor<'g>,
    /// What is added to the input's part, `[G hidden]`, if anything.
    pub input_bias: Option<Tensor<'g>>,
    /// What is added to the state's part, `[G hidden]`, if anything.
    pub hidden_bias: Option<Tensor<'g>>,
}

impl<'g> CellWeights<'g> {
    pub(crate) fn tensors(&self) -> Vec<Tensor<'g>> {
        [self.input, self.hidden].into_iter().chain(self.input_bias).chain(self.hidden_bias).collect()
    }

    /// Why a cell with so many gates cannot work on these.
    fn check(&self, gates: usize, x: Tensor<'g>, state: Tensor<'g>) -> Result<usize, String> {
        let (x, state, input, hidden) = (x.shape(), state.shape(), self.input.shape(), self.hidden.shape());
        if x.rank() != 2 || state.rank() != 2 || x[0] != state[0] {
            return Err(format!("it needs an input [batch, inputs] and a state [batch, hidden], not {x} and {state}"));
        }
        let size = state[1];
        let rows = gates * size;
        if input[..] != [rows, x[1]] || hidden[..] != [rows, size] {
            return Err(format!(
                "for inputs {x} and a state {state} its weights have shapes [{rows}, {}] and [{rows}, {size}], not {input} \
                 and {hidden}",
                x[1]
            ));
        }
        for bias in self.input_bias.iter().chain(&self.hidden_bias) {
            if bias.shape()[..] != [rows] {
                return Err(format!("a bias has shape [{rows}], not {}", bias.shape()));
            }
        }
        Ok(size)
    }

    /// The input's part of all gates: of `[.., inputs]`, `[.., G hidden]`.
    pub(crate) fn of_input(&self, x: Tensor<'g>) -> Tensor<'g> {
        let y = x.matmul(self.input.transpose());
        self.input_bias.map_or(y, |bias| y + bias)
    }

    fn of_hidden(&self, state: Tensor<'g>) -> Tensor<'g> {
        let y = state.matmul(self.hidden.transpose());
        self.hidden_bias.map_or(y, |bias| y + bias)
    }
}

/// Part `number` of gates that stand side by side.
#[track_caller]
fn gate(gates: Tensor<'_>, number: usize, size: usize) -> Tensor<'_> {
    gates.slice(-1, number * size..(number + 1) * size)
}

/// A step of a long short-term memory, from the input's part of the gates.
#[track_caller]
pub(crate) fn lstm_step<'g>(
    of_input: Tensor<'g>,
    hidden: Tensor<'g>,
    cell: Tensor<'g>,
    weights: &CellWeights<'g>,
    size: usize,
) -> (Tensor<'g>, Tensor<'g>) {
    let gates = of_input + weights.of_hidden(hidden);
    let [i, f, g, o] = [0, 1, 2, 3].map(|number| gate(gates, number, size));
    let next = f.sigmoid() * cell + i.sigmoid() * g.tanh();
    (o.sigmoid() * next.tanh(), next)
}

/// A step of a gated recurrent unit, from the input's part of the gates.
#[track_caller]
pub(crate) fn gru_step<'g>(
    of_input: Tensor<'g>,
    hidden: Tensor<'g>,
    weights: &CellWeights<'g>,
    size: usize,
) -> Tensor<'g> {
    let of_hidden = weights.of_hidden(hidden);
    let both = |number: usize| (gate(of_input, number, size) + gate(of_hidden, number, size)).sigmoid();
    let (reset, update) = (both(0), both(1));
    let new = (gate(of_input, 2, size) + reset * gate(of_hidden, 2, size)).tanh();
    new + update * (hidden - new)
}

/// A step of a plain cell, from the input's part.
#[track_caller]
pub(crate) fn rnn_step<'g>(of_input: Tensor<'g>, hidden: Tensor<'g>, weights: &CellWeights<'g>) -> Tensor<'g> {
    (of_input + weights.of_hidden(hidden)).tanh()
}

impl<'g> Tensor<'g> {
    /// One step of a long short-term memory, for this input `[batch, inputs]` and a state (h, c) of `[batch, hidden]` each:
    ///
    /// i, f, o = sigmoid(..), g = tanh(..), each W x + U h + biases; c' = f c + i g, h' = o tanh(c').
    ///
    /// The rows of the weights are those of i, f, g and o. Source: Hochreiter, Schmidhuber 1997; Gers et al. 2000.
    #[must_use]
    #[track_caller]
    pub fn lstm_cell(self, hidden: Self, cell: Self, weights: &CellWeights<'g>) -> (Self, Self) {
        let _here = self.graph.here();
        let operands: Vec<Self> = [self, hidden, cell].into_iter().chain(weights.tensors()).collect();
        let refuse = |reason: String| {
            let invalid = self.graph.fault("lstm_cell", &operands, reason);
            (invalid, invalid)
        };
        if operands.iter().any(|operand| !operand.is_valid()) {
            return refuse(String::new());
        }
        if cell.shape() != hidden.shape() {
            return refuse(format!("h {} and c {} need one shape", hidden.shape(), cell.shape()));
        }
        let size = match weights.check(4, self, hidden) {
            Ok(size) => size,
            Err(reason) => return refuse(reason),
        };
        lstm_step(weights.of_input(self), hidden, cell, weights, size)
    }

    /// One step of a gated recurrent unit, for this input `[batch, inputs]` and a state h of `[batch, hidden]`:
    ///
    /// r, z = sigmoid(W x + U h + biases), n = tanh(W x + b + r (U h + b')), h' = (1 - z) n + z h.
    ///
    /// The rows of the weights are those of r, z and n. Source: Cho et al. 2014, in the form of `PyTorch`.
    #[must_use]
    #[track_caller]
    pub fn gru_cell(self, hidden: Self, weights: &CellWeights<'g>) -> Self {
        let _here = self.graph.here();
        let operands: Vec<Self> = [self, hidden].into_iter().chain(weights.tensors()).collect();
        if operands.iter().any(|operand| !operand.is_valid()) {
            return self.graph.fault("gru_cell", &operands, "");
        }
        let size = match weights.check(3, self, hidden) {
            Ok(size) => size,
            Err(reason) => return self.graph.fault("gru_cell", &operands, reason),
        };
        gru_step(weights.of_input(self), hidden, weights, size)
    }

    /// One step of a plain recurrent cell, for this input `[batch, inputs]` and a state h of `[batch, hidden]`: h' = tanh(W
    /// x + U h + biases). Source: Elman 1990.
    #[must_use]
    #[track_caller]
    pub fn rnn_cell(self, hidden: Self, weights: &CellWeights<'g>) -> Self {
        let _here = self.graph.here();
        let operands: Vec<Self> = [self, hidden].into_iter().chain(weights.tensors()).collect();
        if operands.iter().any(|operand| !operand.is_valid()) {
            return self.graph.fault("rnn_cell", &operands, "");
        }
        if let Err(reason) = weights.check(1, self, hidden) {
            return self.graph.fault("rnn_cell", &operands, reason);
        }
        rnn_step(weights.of_input(self), hidden, weights)
    }
}

/// The weights of a case.
fn weights<'g>(x: &[Tensor<'g>]) -> CellWeights<'g> {
    CellWeights { input: x[0], hidden: x[1], input_bias: Some(x[2]), hidden_bias: Some(x[3]) }
}

pub(super) fn cases() -> Vec<Case> {
    let input = |gates: usize, states: usize| {
        let (batch, inputs, hidden) = (3, 5, 4);
        let mut shapes: Vec<Vec<usize>> = vec![vec![batch, inputs]];
        shapes.extend(vec![vec![batch, hidden]; states]);
        let rows = gates * hidden;
        shapes.extend([vec![rows, inputs], vec![rows, hidden], vec![rows], vec![rows]]);
        shapes.into_iter().map(|shape| CaseInput::uniform(shape, -1.0, 1.0)).collect::<Vec<_>>()
    };
    vec![
        Case::new("lstm", input(4, 2), |x| {
            let (h, c) = x[0].lstm_cell(x[1], x[2], &weights(&x[3..]));
            x[0].graph().concat(&[h, c], 1)
        }),
        Case::new("gru", input(3, 1), |x| x[0].gru_cell(x[1], &weights(&x[2..]))),
        Case::new("plain", input(1, 1), |x| x[0].rnn_cell(x[1], &weights(&x[2..]))),
        Case::new("two steps of a plain cell", input(1, 1), |x| {
            let first = x[0].rnn_cell(x[1], &weights(&x[2..]));
            x[0].sin().rnn_cell(first, &weights(&x[2..]))
        }),
    ]
}
