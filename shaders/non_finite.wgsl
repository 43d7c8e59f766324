// The first word of a range whose bits are those of NaN or infinity: an exponent of all ones.
//
//   found[HEAD + entry] = max over such words i inside of spans of ~(4 i + kind)
//
// kind is 0 for NaN, 1 for infinity and 2 for -infinity, so the greatest stands for the first word, and zero for none. Integer
// maxima do not depend on the order in which workgroups run. Comparisons of floats would not do: drivers may assume that
// NaN does not occur.
//
// What the first check to find anything wrote stays until the host has read it: found[0] is the greatest complement of
// the number of such a check, found[1] its step, and later checks write nothing.
//
// The range is read in vectors, and may end with words that belong to nothing, as may padding inside of it; so
// whether a word is inside of a span is asked where it matters, which is hardly ever.

const HEAD: u32 = 2u;
// Vectors that an invocation reads, from where it begins on, and how far these and the invocations are apart.
const VECTORS: u32 = 8u;
const VECTOR_STRIDE: u32 = 64u;
const LANE_STRIDE: u32 = 1u;
const EXPONENT: u32 = 0x7f800000u;

struct Range {
    // Which of the spans are in it: the first, and how many.
    first_span: u32,
    spans: u32,
    // Where its finding is.
    entry: u32,
    // Workgroups in a row of the grid.
    grid_width: u32,
}

// An entry of the ring of the steps' scalars, with what stands behind them.
struct Checked {
    scalars: array<vec4<u32>, 3>,
    step: u32,
    // Which check this is, from 1.
    number: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<u32>>;
@group(1) @binding(0) var<uniform> range: Range;
@group(1) @binding(1) var<uniform> checked: Checked;
// Ranges of words, ascending.
@group(1) @binding(2) var<storage, read> spans: array<vec2<u32>>;
@group(1) @binding(3) var<storage, read_write> found: array<atomic<u32>>;

fn is_inside(word: u32) -> bool {
    // How many spans begin at or before the word, by halving.
    var low = range.first_span;
    var high = range.first_span + range.spans;
    while (low < high) {
        let middle = (low + high) / 2u;
        if (spans[middle].x <= word) {
            low = middle + 1u;
        } else {
            high = middle;
        }
    }
    return low > range.first_span && word < spans[low - 1u].y;
}

fn report(word: u32, bits: u32) {
    let number = ~checked.number;
    atomicMax(&found[0], number);
    if (atomicLoad(&found[0]) != number) {
        return;
    }
    atomicStore(&found[1], checked.step);
    let kind = select(1u + (bits >> 31u), 0u, (bits & 0x007fffffu) != 0u);
    atomicMax(&found[HEAD + range.entry], ~(4u * word + kind));
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first = (group.y * range.grid_width + group.x) * 64u * VECTORS + lane * LANE_STRIDE;
    let length = arrayLength(&x);
    var is_finite = true;
    for (var k = 0u; k < VECTORS; k++) {
        let i = first + k * VECTOR_STRIDE;
        if (i < length) {
            is_finite = is_finite && all((x[i] & vec4<u32>(EXPONENT)) != vec4<u32>(EXPONENT));
        }
    }
    if (is_finite) {
        return;
    }
    for (var k = 0u; k < VECTORS; k++) {
        let i = first + k * VECTOR_STRIDE;
        if (i >= length) {
            return;
        }
        let vector = x[i];
        for (var c = 0u; c < 4u; c++) {
            let bits = vector[c];
            if ((bits & EXPONENT) == EXPONENT && is_inside(4u * i + c)) {
                report(4u * i + c, bits);
                return;
            }
        }
    }
}
