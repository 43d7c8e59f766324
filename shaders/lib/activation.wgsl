// Activation functions and the derivatives that are worth a function of their own.

// 1 / (1 + exp(-x)), from the side on which exp does not overflow.
fn sigmoid_f32(x: f32) -> f32 {
    let e = exp_f32(-abs(x));
    return select(1.0f, e, x < 0.0f) / (1.0f + e);
}

// e / (1 + e)^2 with e = exp(-|x|): s (1 - s) without its cancellation.
fn sigmoid_derivative_f32(x: f32) -> f32 {
    let e = exp_f32(-abs(x));
    return e / ((1.0f + e) * (1.0f + e));
}

// sech(x)^2 = 4 e / (1 + e)^2 with e = exp(-2 |x|): 1 - tanh(x)^2 without its cancellation.
fn tanh_derivative_f32(x: f32) -> f32 {
    return 4.0f * sigmoid_derivative_f32(2.0f * x);
}

// log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|)).
fn softplus_f32(x: f32) -> f32 {
    return relu_f32(x) + log1p_f32(exp_f32(-abs(x)));
}

// x > 0 ? x : alpha (exp(x) - 1). Clevert, Unterthiner, Hochreiter 2016.
fn elu_f32(x: f32, alpha: f32) -> f32 {
    let y = select(x, alpha * expm1_f32(select(x, 0.0f, x > 0.0f)), x <= 0.0f);
    return select(y, x, is_nan(x));
}

fn elu_derivative_f32(x: f32, alpha: f32) -> f32 {
    return select(1.0f, alpha * exp_f32(select(x, 0.0f, x > 0.0f)), x <= 0.0f);
}

// x sigmoid(x). Elfwing, Uchibe, Doya 2018.
fn silu_f32(x: f32) -> f32 {
    return x * sigmoid_f32(x);
}

fn silu_derivative_f32(x: f32) -> f32 {
    let s = sigmoid_f32(x);
    return s * (1.0f + x * (1.0f - s));
}

// x (1 + tanh(u)) / 2 with u = sqrt(2/pi) (x + 0.044715 x^3), as x sigmoid(2 u), which does not
// cancel for negative x. Hendrycks, Gimpel 2016.
fn gelu_tanh_f32(x: f32) -> f32 {
    return x * sigmoid_f32(1.5957691f * x * (1.0f + 0.044715f * x * x));
}

fn gelu_tanh_derivative_f32(x: f32) -> f32 {
    let inner = 1.5957691f * x * (1.0f + 0.044715f * x * x);
    let slope = 1.5957691f * (1.0f + 0.134145f * x * x);
    return sigmoid_f32(inner) + x * sigmoid_derivative_f32(inner) * slope;
}

// x tanh(softplus(x)). Misra 2019.
fn mish_f32(x: f32) -> f32 {
    return x * tanh_f32(softplus_f32(x));
}

fn mish_derivative_f32(x: f32) -> f32 {
    let t = tanh_f32(softplus_f32(x));
    return t + x * (1.0f - t * t) * sigmoid_f32(x);
}
