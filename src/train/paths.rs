//! The paths of gradients of a training step.

use super::compile::Training;
use super::draft::{parameter_leaves, strange_cells, strangers};
use crate::base::{Error, Result, Shape};
use crate::differentiate::{Fate, GradientPaths, Walked, backward};
use crate::record::{Params, Tensor, TensorId};

impl Training<'_> {
    /// Which way the gradient of every parameter comes: the ops from the loss back to it, with source lines and the
    /// backward nodes; which parameters are frozen, cells, left out or not reached, and why; and every place between a
    /// trained parameter and the loss where gradients end on purpose. A parameter that no gradient reaches is no error here,
    /// as it is in [`compile`](Self::compile): this is how to find out where its path was cut.
    ///
    /// ```
    /// use retrograd::{nn, optim::Sgd, Graph, Params};
    /// let mut params = Params::seeded(1);
    /// let (up, down) = (nn::Linear::new(&mut params, "up", 2, 8), nn::Linear::new(&mut params, "down", 8, 3));
    /// let g = Graph::new();
    /// let (x, y) = (g.input("x", [4, 2]), g.labels("y", [4]));
    /// let hidden = up.forward(x).relu().detach();            // a mistake: `up` does not learn
    /// let loss = down.forward(hidden).cross_entropy(y);
    /// let paths = g.train(loss, Sgd::new(0.1)).gradient_paths(&params)?;
    /// println!("{paths}");                                  // `{paths:#}` says everything
    /// let lost: Vec<&str> = paths.not_reached().map(|parameter| parameter.name.as_str()).collect();
    /// assert_eq!(lost, ["up.weight", "up.bias"]);
    /// assert!(paths.to_string().contains("detach"));
    /// # Ok::<(), retrograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// All mistakes of the recording at once. Those that are only found on the way back, such as an op without a gradient
    /// rule, are listed among the paths.
    pub fn gradient_paths(&self, params: &Params) -> Result<GradientPaths> {
        let graph = self.graph;
        let (store, count) = (params.store(), params.len());
        let frozen: Vec<bool> = params.iter().map(|(_, _, frozen)| frozen).collect();
        let (trained, own) = graph.with_own_faults(|| self.trained(store, &frozen));
        let faults = graph.with_recording(|recording| {
            let strange = [strangers(recording, store, count), strange_cells(recording, store, count)].concat();
            [&recording.faults, &self.faults, params.faults(), &strange, &own]
                .into_iter()
                .flatten()
                .cloned()
                .collect::<Vec<_>>()
        });
        if !faults.is_empty() || !self.loss.is_valid() {
            return Err(Error::recording(faults));
        }
        let leaves = graph.with_recording(|recording| parameter_leaves(recording, store));
        let named: Vec<(String, TensorId)> = params
            .extents()
            .enumerate()
            .filter_map(|(number, (name, ..))| {
                Some((name.to_owned(), *leaves.get(&number).filter(|_| trained.contains(&number))?))
            })
            .collect();
        let fates = params.extents().enumerate().map(|(number, (name, shape, cell))| {
            let known = match (cell, trained.contains(&number), frozen[number]) {
                (true, ..) => Some(Fate::Cell),
                (_, true, _) => None,
                (_, _, true) => Some(Fate::Frozen),
                _ => Some(Fate::LeftOut),
            };
            (name.to_owned(), shape.clone(), known)
        });
        let fates = fates.collect();
        Ok(graph.aside(|| self.walk(named, fates)))
    }

    /// Walks back from the loss to these leaves.
    fn walk(&self, named: Vec<(String, TensorId)>, fates: Vec<(String, Shape, Option<Fate>)>) -> GradientPaths {
        let (graph, loss) = (self.graph, self.loss.id());
        let of: Vec<TensorId> = named.iter().map(|&(_, leaf)| leaf).collect();
        let before = graph.with_recording(|recording| recording.nodes.len());
        let _there = graph.there(&self.location);
        let (found, faults) = graph.with_own_faults(|| {
            let ones = graph.on_behalf_of(loss.node, || graph.full(self.loss.shape(), 1.0));
            backward(graph, &[(loss, ones)], &of, 0)
        });
        let gradients = found.gradients.iter().map(|gradient| gradient.map(Tensor::id));
        let leaves: Vec<(String, TensorId, Option<TensorId>)> =
            named.into_iter().zip(gradients).map(|((name, leaf), gradient)| (name, leaf, gradient)).collect();
        graph.with_recording(|recording| {
            let (passed, withheld) = (&found.passed, &found.withheld);
            Walked { recording, before, loss, passed, withheld, leaves: &leaves, faults: &faults }.paths(fates)
        })
    }
}
