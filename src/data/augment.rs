//! Training augmentation with torchvision's definitions: random resized crop, colour jitter, grey.
//!
//! Invariant: what happens to a sample depends on (seed, epoch, index) alone: not on threads, batches or a resume.

use rand::RngExt;
use rand::seq::SliceRandom;

use super::color;
use crate::base::seed::{self, Stream};
use crate::journal::failure::{Failure, FailureKind};
use crate::pixels::resize::{crop, resize_region};
use crate::pixels::{ImageTransform, ResizeMode, Rgb};

/// Strengths of the colour jitter; 0 leaves a property alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ColorJitter {
    /// Chance that an image is jittered at all.
    pub probability: f64,
    /// Brightness factor from `1 - x` to `1 + x`.
    pub brightness: f64,
    /// Contrast factor from `1 - x` to `1 + x`.
    pub contrast: f64,
    /// Saturation factor from `1 - x` to `1 + x`.
    pub saturation: f64,
    /// Hue shift from `-x` to `x` of the circle, at most 0.5.
    pub hue: f64,
}

/// What is done to training images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Augmentation {
    /// Smallest and largest share of the image's area that a crop takes.
    pub scale: [f64; 2],
    /// Colour jitter.
    pub color_jitter: Option<ColorJitter>,
    /// Chance that an image turns grey.
    pub grayscale: f64,
}

impl Augmentation {
    /// From `dataset.augmentation`: `scale` of two numbers, `color_jitter` empty or of five (probability, brightness,
    /// contrast, saturation, hue). `None` when nothing is changed.
    ///
    /// # Errors
    /// `SpecInvalid`, naming the key, for values out of range.
    pub fn from_settings(scale: &[f64], color_jitter: &[f64], grayscale: f64) -> Result<Option<Self>, Failure> {
        let bad = |key: &str, why: &str| {
            Err(Failure::new(FailureKind::SpecInvalid, format!("dataset.augmentation.{key}: {why}")))
        };
        let scale = match *scale {
            [] => [1.0, 1.0],
            [low, high] if 0.0 < low && low <= high && high <= 1.0 => [low, high],
            _ => return bad("scale", "expected two numbers with 0 < low <= high <= 1"),
        };
        let unit = |x: f64| (0.0..=1.0).contains(&x);
        let color_jitter = match *color_jitter {
            [] => None,
            [probability, brightness, contrast, saturation, hue]
                if unit(probability)
                    && [brightness, contrast, saturation].iter().all(|x| x.is_finite() && *x >= 0.0)
                    && (0.0..=0.5).contains(&hue) =>
            {
                Some(ColorJitter { probability, brightness, contrast, saturation, hue }).filter(|_| probability > 0.0)
            }
            _ => {
                let why = "expected nothing, or a probability, three strengths >= 0 and a hue of at most 0.5";
                return bad("color_jitter", why);
            }
        };
        if !unit(grayscale) {
            return bad("grayscale", "expected a probability");
        }
        let some = scale != [1.0, 1.0] || color_jitter.is_some() || grayscale > 0.0;
        Ok(some.then_some(Self { scale, color_jitter, grayscale }))
    }

    /// Width and height of the crop of sample `index`, of an image of this size.
    pub fn size(&self, width: u32, height: u32, seed: u64, epoch: u32, index: usize) -> (u32, u32) {
        let [_, _, width, height] = random_crop(width, height, self.scale, &mut stream(seed, epoch, index));
        (width, height)
    }

    /// The augmented image of sample `index`, prepared as `transform` says but for its crop.
    pub fn apply(&self, image: &Rgb, transform: &ImageTransform, seed: u64, epoch: u32, index: usize) -> Vec<u8> {
        let mut rng = stream(seed, epoch, index);
        let region = random_crop(image.width, image.height, self.scale, &mut rng);
        let patches = matches!(transform.mode, ResizeMode::Patches { .. });
        let mut out = if patches {
            let [left, top, width, height] = region;
            crop(image, left, top, width, height)
        } else {
            resize_region(image, region, transform.size, transform.size, transform.filter)
        };
        if let Some(jitter) = &self.color_jitter
            && rng.random::<f64>() < jitter.probability
        {
            jitter.apply(&mut out, &mut rng);
        }
        if rng.random::<f64>() < self.grayscale {
            color::grayscale(&mut out);
        }
        if patches { transform.prepare(&out) } else { out.to_chw() }
    }
}

fn stream(seed: u64, epoch: u32, index: usize) -> Stream {
    seed::stream(seed, &format!("augment/epoch/{epoch}/sample/{index}"))
}

impl ColorJitter {
    fn apply(&self, image: &mut Rgb, rng: &mut Stream) {
        let mut order = [0, 1, 2, 3];
        order.shuffle(rng);
        let mut factor = |x: f64| between((1.0 - x).max(0.0), 1.0 + x, rng);
        let brightness = factor(self.brightness);
        let contrast = factor(self.contrast);
        let saturation = factor(self.saturation);
        let hue = between(-self.hue, self.hue, rng);
        for step in order {
            match step {
                0 if self.brightness > 0.0 => color::brightness(image, brightness),
                1 if self.contrast > 0.0 => color::contrast(image, contrast),
                2 if self.saturation > 0.0 => color::saturation(image, saturation),
                3 if self.hue > 0.0 => color::hue(image, hue),
                _ => {}
            }
        }
    }
}

fn between(low: f64, high: f64, rng: &mut Stream) -> f64 {
    low + (high - low) * rng.random::<f64>()
}

/// `[left, top, width, height]` of a crop of a random area and an aspect ratio from 3/4 to 4/3, torchvision's way: ten
/// attempts, then the largest allowed part of the middle.
fn random_crop(width: u32, height: u32, scale: [f64; 2], rng: &mut Stream) -> [u32; 4] {
    let (w, h) = (f64::from(width), f64::from(height));
    let (narrow, wide) = (3.0f64 / 4.0, 4.0f64 / 3.0);
    for _ in 0..10 {
        let area = w * h * between(scale[0], scale[1], rng);
        let aspect = between(narrow.ln(), wide.ln(), rng).exp();
        let cut_width = (area * aspect).sqrt().round_ties_even() as u32;
        let cut_height = (area / aspect).sqrt().round_ties_even() as u32;
        if (1..=width).contains(&cut_width) && (1..=height).contains(&cut_height) {
            let top = rng.random_range(0..=height - cut_height);
            let left = rng.random_range(0..=width - cut_width);
            return [left, top, cut_width, cut_height];
        }
    }
    let (cut_width, cut_height) = if w / h < narrow {
        (width, ((w / narrow).round_ties_even() as u32).clamp(1, height))
    } else if w / h > wide {
        (((h * wide).round_ties_even() as u32).clamp(1, width), height)
    } else {
        (width, height)
    };
    [(width - cut_width) / 2, (height - cut_height) / 2, cut_width, cut_height]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Rgb {
        Rgb { width: 40, height: 30, pixels: (0..3600u32).map(|i| (i * 7 % 251) as u8).collect() }
    }

    #[test]
    fn from_settings_nothing_to_do_is_none_and_bad_values_name_their_key() {
        assert_eq!(Augmentation::from_settings(&[1.0, 1.0], &[], 0.0).unwrap(), None);
        assert_eq!(Augmentation::from_settings(&[1.0, 1.0], &[0.0, 0.3, 0.3, 0.3, 0.1], 0.0).unwrap(), None);
        assert!(Augmentation::from_settings(&[0.4, 1.0], &[], 0.0).unwrap().is_some());
        for (scale, jitter, gray, key) in [
            (&[0.0, 1.0][..], &[][..], 0.0, "scale"),
            (&[1.0, 1.0], &[0.8, 0.3], 0.0, "color_jitter"),
            (&[1.0, 1.0], &[0.8, 0.3, 0.3, 0.3, 0.6], 0.0, "color_jitter"),
            (&[1.0, 1.0], &[], f64::NAN, "grayscale"),
        ] {
            let failure = Augmentation::from_settings(scale, jitter, gray).unwrap_err();
            assert!(failure.message.contains(key), "{}", failure.message);
        }
    }

    #[test]
    fn apply_same_name_same_image_other_epoch_other_image() {
        let augmentation =
            Augmentation::from_settings(&[0.4, 1.0], &[0.8, 0.32, 0.32, 0.32, 0.08], 0.2).unwrap().unwrap();
        let square = ImageTransform::clip(16);
        let patches = square.with_mode(ResizeMode::Patches { side: 4, most: 12 });
        let run = |epoch, index| augmentation.apply(&image(), &square, 3, epoch, index);
        assert_eq!(run(1, 5), run(1, 5));
        assert_ne!(run(1, 5), run(2, 5));
        assert_ne!(run(1, 5), run(1, 6));
        assert_eq!(run(1, 5).len(), square.bytes());
        let packed = augmentation.apply(&image(), &patches, 3, 1, 5);
        assert_eq!(packed.len(), patches.bytes());
        let (width, height) = augmentation.size(40, 30, 3, 1, 5);
        let (rows, columns) = crate::pixels::naflex::grid(width, height, 4, 12);
        assert_eq!(packed[..4], [rows as u8, 0, columns as u8, 0]);
    }

    #[test]
    fn random_crop_stays_inside_with_the_area_asked_for() {
        let mut rng = seed::stream(1, "test");
        for _ in 0..500 {
            let [left, top, width, height] = random_crop(40, 30, [0.4, 1.0], &mut rng);
            assert!(left + width <= 40 && top + height <= 30);
            let area = f64::from(width * height) / 1200.0;
            let aspect = f64::from(width) / f64::from(height);
            assert!((0.35..=1.0).contains(&area) && (0.7..=1.4).contains(&aspect), "{area} {aspect}");
        }
        // A strip allows no such crop: the middle with the nearest aspect ratio.
        assert_eq!(random_crop(1000, 3, [1.0, 1.0], &mut rng), [498, 0, 4, 3]);
    }
}
