// Threefry-2x32 with 20 rounds: a counter-based generator. The same key and counter give the same
// words on every device, in any order.
//
// Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011).

fn rotate_left(x: u32, bits: u32) -> u32 {
    return (x << bits) | (x >> (32u - bits));
}

fn mix(x: vec2<u32>, bits: u32) -> vec2<u32> {
    let sum = x.x + x.y;
    return vec2<u32>(sum, rotate_left(x.y, bits) ^ sum);
}

fn threefry(key: vec2<u32>, counter: vec2<u32>) -> vec2<u32> {
    let parity = 0x1bd11bdau ^ key.x ^ key.y;
    var x = counter + key;
    x = mix(mix(mix(mix(x, 13u), 15u), 26u), 6u) + vec2<u32>(key.y, parity + 1u);
    x = mix(mix(mix(mix(x, 17u), 29u), 16u), 24u) + vec2<u32>(parity, key.x + 2u);
    x = mix(mix(mix(mix(x, 13u), 15u), 26u), 6u) + vec2<u32>(key.x, key.y + 3u);
    x = mix(mix(mix(mix(x, 17u), 29u), 16u), 24u) + vec2<u32>(key.y, parity + 4u);
    x = mix(mix(mix(mix(x, 13u), 15u), 26u), 6u) + vec2<u32>(parity, key.x + 5u);
    return x;
}

// A number in [0, 1) from the upper 24 bits of a word.
fn unit_interval(word: u32) -> f32 {
    return f32(word >> 8u) * 5.9604645e-8f;
}

// The number in [0, 1) of an element of a stream of numbers.
fn uniform_element(seed: vec2<u32>, stream: u32, index: u32) -> f32 {
    return unit_interval(threefry(seed, vec2<u32>(index, stream)).x);
}
