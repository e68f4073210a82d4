//! Floor 3: from an image file to the numbers a vision tower reads, equal to what Pillow and torchvision compute.
//!
//! Invariant: an image is interleaved 8-bit RGB until the last step; resampling rounds to 8 bits between its passes.

pub mod decode;
mod jpeg;
mod like_pillow;
pub mod naflex;
pub mod normalize;
mod passes;
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
        let pixels = self.pixels.as_chunks::<3>().0;
        let mut out = Vec::with_capacity(3 * pixels.len());
        for channel in 0..3 {
            out.extend(pixels.iter().map(|pixel| pixel[channel]));
        }
        out
    }
}

/// Bytes of a prepared image that hold rows and columns of patches.
pub(crate) const SHAPE_BYTES: usize = 4;

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
    /// No square: patches, whose rows and columns follow the image's shape ([`naflex`]).
    Patches {
        /// Pixels of a patch on a side.
        side: u32,
        /// Most patches.
        most: u32,
    },
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
///
/// A prepared image is [`Self::bytes`] bytes: a square by channel, row and column; or, for patches, their rows and columns
/// as two 16-bit numbers, and the patches, each by row, column and channel, zeros behind the last one. Normalised, it is
/// [`Self::shape`] floats.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageTransform {
    /// Side of the square, in pixels; for patches, of a square image.
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

    /// Bytes of a prepared image.
    pub fn bytes(&self) -> usize {
        match self.mode {
            ResizeMode::Patches { side, most } => SHAPE_BYTES + 3 * (side * side * most) as usize,
            _ => 3 * self.size as usize * self.size as usize,
        }
    }

    /// Shape of a normalised image: `[3, size, size]`, or `[1 + most, side * side * 3]` with rows and columns at the start of
    /// the first row.
    pub fn shape(&self) -> Vec<i64> {
        match self.mode {
            ResizeMode::Patches { side, most } => vec![1 + i64::from(most), i64::from(3 * side * side)],
            _ => vec![3, i64::from(self.size), i64::from(self.size)],
        }
    }

    /// Floats of a normalised image.
    pub fn values(&self) -> usize {
        self.shape().iter().product::<i64>() as usize
    }

    /// Prepares an image.
    pub fn prepare(&self, image: &Rgb) -> Vec<u8> {
        let ResizeMode::Patches { side, most } = self.mode else { return self.resize(image).to_chw() };
        let found = naflex::patches(image, side, most, self.filter);
        let mut out: Vec<u8> = [found.rows, found.columns].iter().flat_map(|n| (*n as u16).to_le_bytes()).collect();
        out.extend(found.pixels);
        out.resize(self.bytes(), 0);
        out
    }

    /// Brings `image` to `size` x `size`.
    pub fn resize(&self, image: &Rgb) -> Rgb {
        match self.mode {
            ResizeMode::Squash | ResizeMode::Patches { .. } => resize::resize(image, self.size, self.size, self.filter),
            ResizeMode::ShortestCenterCrop => {
                let (width, height) = resize::shortest_side(image.width, image.height, self.size);
                let part = resize::middle(width, height, self.size);
                resize::resize_part(image, [width, height], part, self.filter)
            }
            ResizeMode::LongestPad => {
                let (width, height) = resize::longest_side(image.width, image.height, self.size);
                resize::center_pad(&resize::resize(image, width, height, self.filter), self.size)
            }
        }
    }
}
