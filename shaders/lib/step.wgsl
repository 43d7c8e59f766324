// What changes from step to step besides the fed data: one entry of a ring, bound by a dynamic offset.

struct Step {
    // The key of the step's random streams.
    seed: vec2<u32>,
    learning_rate: f32,
    // The number of the update, from 1.
    count: u32,
    // Numbers that the optimizer computes on the host for every step.
    scalars: vec4<f32>,
    // Where in the order of a dataset the step's batch begins.
    first_row: u32,
    // How far running averages of the weights move toward them.
    averaging: f32,
    // How many gradients have been added up since the last update.
    gathered: u32,
    // Whether gradients are only added up, without an update.
    gathers_only: u32,
}

@group(1) @binding(0) var<uniform> step: Step;
