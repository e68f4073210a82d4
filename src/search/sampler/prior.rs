//! What is known beforehand: values that are good, and how sure that is.

use crate::search::space::Space;

/// Bends a place of the cube towards the values known to be good: a logistic distribution around each of them, as wide as the
/// confidence says.
pub(super) fn towards_good(space: &Space, mut cube: Vec<f64>) -> Vec<f64> {
    for (unit, parameter) in cube.iter_mut().zip(space.params()) {
        let Some(centre) = parameter.good.as_ref().and_then(|v| parameter.domain.unit_of(v)) else { continue };
        let spread = parameter.spread();
        let cumulative = |x: f64| 1.0 / (1.0 + (-(x - centre) / spread).exp());
        let (low, high) = (cumulative(0.0), cumulative(1.0));
        let p = low + *unit * (high - low);
        *unit = (centre + spread * (p / (1.0 - p)).ln()).clamp(0.0, 1.0);
    }
    cube
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn towards_good_is_as_close_as_the_confidence_says() {
        let near = |confidence: f64| {
            let text = format!(
                "parameters: {{x: {{type: float, low: 1e-6, high: 1e-2, log: true, good: 1e-4, confidence: {confidence}}}}}"
            );
            let space = Space::parse_yaml(&text, "test").unwrap();
            let places = (0..1000).map(|i| towards_good(&space, vec![(f64::from(i) + 0.5) / 1000.0])[0]);
            places.filter(|u| (u - 0.5).abs() < 0.1).count()
        };
        let (guess, middling, certain) = (near(0.0), near(0.5), near(1.0));
        assert!(guess > 250 && middling > guess + 100 && certain > 990, "{guess} {middling} {certain}");
    }
}
