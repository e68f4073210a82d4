//! Floor 3: from an image file to the numbers a vision tower reads, equal to what Pillow and torchvision compute.
//!
//! Invariant: an image is interleaved 8-bit RGB until the last step; resampling rounds to 8 bits between its passes.

pub mod decode;
pub mod naflex;
pub mod normalize;
pub mod resize;

pub use normalize::Normalize;

use serde::{Deserialize, Serialize};

/// Mean of the pixels of CLIP's training set, by channel.
pub const OPENAI_MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
/// Standard deviation of the pixels of CLIP's training set, by channel.
pub const OPENAI_STD: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];

/// An 8-bit RGB image, rows from the top, channels interleaved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rgb {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// `width * height * 3` bytes.
    pub pixels: Vec<u8>,
}

impl Rgb {
    /// The bytes reordered to channel, row, column.
    pub fn to_chw(&self) -> Vec<u8> {
        let plane = self.width as usize * self.height as usize;
        let mut out = vec![0; plane * 3];
        for (i, pixel) in self.pixels.chunks_exact(3).enumerate() {
            out[i] = pixel[0];
            out[plane + i] = pixel[1];
            out[2 * plane + i] = pixel[2];
        }
        out
    }
}

/// How an image is brought to the square the tower reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResizeMode {
    /// Both sides at once; the aspect ratio is lost.
    Squash,
    /// The shorter side first, then the middle of the longer one.
    #[default]
    ShortestCenterCrop,
    /// The longer side first, then black borders around the shorter one.
    LongestPad,
}

/// The resampling filter, with Pillow's support and antialiasing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// Triangle.
    Bilinear,
    /// Keys' cubic with a = -0.5.
    #[default]
    Bicubic,
}

/// The evaluation transform of a model.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageTransform {
    /// Side of the square, in pixels.
    pub size: u32,
    /// Mean by channel, of pixels in 0 … 1.
    pub mean: [f32; 3],
    /// Standard deviation by channel.
    pub std: [f32; 3],
    /// How the square is reached.
    pub mode: ResizeMode,
    /// The resampling filter.
    pub filter: Filter,
}

impl ImageTransform {
    /// The transform of OpenAI's and open_clip's CLIP models: shortest side, bicubic, centre crop.
    pub fn clip(size: u32) -> Self {
        Self { size, mean: OPENAI_MEAN, std: OPENAI_STD, mode: ResizeMode::ShortestCenterCrop, filter: Filter::Bicubic }
    }

    /// The same transform with another way to the square.
    #[must_use]
    pub fn with_mode(mut self, mode: ResizeMode) -> Self {
        self.mode = mode;
        self
    }

    /// Brings `image` to `size` x `size`.
    pub fn resize(&self, image: &Rgb) -> Rgb {
        match self.mode {
            ResizeMode::Squash => resize::resize(image, self.size, self.size, self.filter),
            ResizeMode::ShortestCenterCrop => {
                let (width, height) = resize::shortest_side(image.width, image.height, self.size);
                let resized = resize::resize(image, width, height, self.filter);
                resize::center_crop(&resized, self.size)
            }
            ResizeMode::LongestPad => {
                let (width, height) = resize::longest_side(image.width, image.height, self.size);
                resize::center_pad(&resize::resize(image, width, height, self.filter), self.size)
            }
        }
    }
}
