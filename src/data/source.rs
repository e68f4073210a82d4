//! Where pairs come from.

use std::path::PathBuf;

/// One source of image-text pairs (an item of `dataset.train.datasets`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataSource {
    /// Folder or archive of images.
    pub image_dir: PathBuf,
    /// Names of the images to use, one a line; `None` uses all of them.
    pub image_list_file: Option<PathBuf>,
    /// Folder or archive of captions; `None` looks beside the images.
    pub caption_dir: Option<PathBuf>,
    /// What a caption file's name ends with after the image's stem.
    pub caption_file_suffix: String,
}
