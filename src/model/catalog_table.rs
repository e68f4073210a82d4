//! The bundled model types: where their public weights are, and under which licence.

/// A file of public weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// `owner/name` on the hub.
    pub repository: &'static str,
    /// The file with the weights.
    pub file: &'static str,
    /// What is taken from it.
    pub what: &'static str,
}

/// One way to use a bundled type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `model.type`.
    pub name: &'static str,
    /// `model.adaptor_name`, for types that need one.
    pub adaptor: Option<&'static str>,
    /// Whose architecture it is.
    pub family: &'static str,
    /// Licence of the public weights.
    pub licence: &'static str,
    /// The public weights; none where there are none.
    pub sources: &'static [Source],
    /// Whether they are the type's own: training starts from them unless others are named.
    pub own: bool,
    /// What one should know about them.
    pub note: &'static str,
}

const fn source(repository: &'static str, file: &'static str, what: &'static str) -> Source {
    Source { repository, file, what }
}

const APACHE: &str = "Apache-2.0";
const BOTH: &str = "both towers";
const SAFETENSORS: &str = "model.safetensors";
const OPEN_CLIP: &str = "open_clip_pytorch_model.bin";
const NO_OWN: &str = "NVIDIA gives its own weights of this type out through NGC alone (train.pretrained_model_path takes \
    them); these have the same towers with a context of 32 tokens";

/// Every bundled type, once for each adaptor.
pub const CATALOG: &[Entry] = &[
    Entry {
        name: "siglip2-so400m-patch16-256",
        adaptor: None,
        family: "SigLIP 2",
        licence: APACHE,
        sources: &[source("google/siglip2-so400m-patch16-256", SAFETENSORS, BOTH)],
        own: true,
        note: "",
    },
    Entry {
        name: "siglip2-so400m-patch14-224",
        adaptor: None,
        family: "SigLIP 2",
        licence: APACHE,
        sources: &[source("google/siglip2-so400m-patch14-224", SAFETENSORS, BOTH)],
        own: true,
        note: "",
    },
    Entry {
        name: "siglip2-so400m-patch14-384",
        adaptor: None,
        family: "SigLIP 2",
        licence: APACHE,
        sources: &[source("google/siglip2-so400m-patch14-384", SAFETENSORS, BOTH)],
        own: true,
        note: "sees 378 of the 384 pixels on a side: the patch is 14",
    },
    Entry {
        name: "siglip2-so400m-patch16-384",
        adaptor: None,
        family: "SigLIP 2",
        licence: APACHE,
        sources: &[source("google/siglip2-so400m-patch16-384", SAFETENSORS, BOTH)],
        own: true,
        note: "",
    },
    Entry {
        name: "siglip2-so400m-patch16-512",
        adaptor: None,
        family: "SigLIP 2",
        licence: APACHE,
        sources: &[source("google/siglip2-so400m-patch16-512", SAFETENSORS, BOTH)],
        own: true,
        note: "",
    },
    Entry {
        name: "siglip2-so400m-patch16-naflex",
        adaptor: None,
        family: "SigLIP 2",
        licence: APACHE,
        sources: &[source("google/siglip2-so400m-patch16-naflex", SAFETENSORS, BOTH)],
        own: true,
        note: "images of any shape, as at most 256 patches",
    },
    Entry {
        name: "c-radio_v3-b",
        adaptor: Some("siglip"),
        family: "C-RADIO",
        licence: "NVIDIA Open Model + Apache-2.0",
        sources: &[
            source("nvidia/C-RADIOv3-B", "c-radio_v3-b_half.pth.tar", "image tower and adaptor"),
            source("google/siglip2-giant-opt-patch16-384", SAFETENSORS, "text tower"),
        ],
        own: true,
        note: "any image size that is a multiple of 16",
    },
    Entry {
        name: "c-radio_v3-b",
        adaptor: Some("clip"),
        family: "C-RADIO",
        licence: "NVIDIA Open Model + Apple ML research",
        sources: &[
            source("nvidia/C-RADIOv3-B", "c-radio_v3-b_half.pth.tar", "image tower and adaptor"),
            source("apple/DFN5B-CLIP-ViT-H-14-378", OPEN_CLIP, "text tower"),
        ],
        own: true,
        note: "any image size that is a multiple of 16",
    },
    Entry {
        name: "c-radio_v3-l",
        adaptor: Some("siglip"),
        family: "C-RADIO",
        licence: "NVIDIA Open Model + Apache-2.0",
        sources: &[
            source("nvidia/C-RADIOv3-L", "c-radio-v3_l_half.pth.tar", "image tower and adaptor"),
            source("google/siglip2-giant-opt-patch16-384", SAFETENSORS, "text tower"),
        ],
        own: true,
        note: "any image size that is a multiple of 16",
    },
    Entry {
        name: "c-radio_v3-l",
        adaptor: Some("clip"),
        family: "C-RADIO",
        licence: "NVIDIA Open Model + Apple ML research",
        sources: &[
            source("nvidia/C-RADIOv3-L", "c-radio-v3_l_half.pth.tar", "image tower and adaptor"),
            source("apple/DFN5B-CLIP-ViT-H-14-378", OPEN_CLIP, "text tower"),
        ],
        own: true,
        note: "any image size that is a multiple of 16",
    },
    Entry {
        name: "c-radio_v3-h",
        adaptor: Some("siglip"),
        family: "C-RADIO",
        licence: "NVIDIA Open Model + Apache-2.0",
        sources: &[
            source("nvidia/C-RADIOv3-H", "c-radio_v3-h_half.pth.tar", "image tower and adaptor"),
            source("google/siglip2-giant-opt-patch16-384", SAFETENSORS, "text tower"),
        ],
        own: true,
        note: "any image size that is a multiple of 16",
    },
    Entry {
        name: "c-radio_v3-h",
        adaptor: Some("clip"),
        family: "C-RADIO",
        licence: "NVIDIA Open Model + Apple ML research",
        sources: &[
            source("nvidia/C-RADIOv3-H", "c-radio_v3-h_half.pth.tar", "image tower and adaptor"),
            source("apple/DFN5B-CLIP-ViT-H-14-378", OPEN_CLIP, "text tower"),
        ],
        own: true,
        note: "any image size that is a multiple of 16",
    },
    Entry {
        name: "c-radio_v3-g",
        adaptor: Some("siglip"),
        family: "C-RADIO",
        licence: "NVIDIA Open Model + Apache-2.0",
        sources: &[
            source("nvidia/C-RADIOv3-g", "c-radio_v3-g_half.pth.tar", "image tower and adaptor"),
            source("google/siglip2-giant-opt-patch16-384", SAFETENSORS, "text tower"),
        ],
        own: true,
        note: "any image size that is a multiple of 16",
    },
    Entry {
        name: "c-radio_v3-g",
        adaptor: Some("clip"),
        family: "C-RADIO",
        licence: "NVIDIA Open Model + Apple ML research",
        sources: &[
            source("nvidia/C-RADIOv3-g", "c-radio_v3-g_half.pth.tar", "image tower and adaptor"),
            source("apple/DFN5B-CLIP-ViT-H-14-378", OPEN_CLIP, "text tower"),
        ],
        own: true,
        note: "any image size that is a multiple of 16",
    },
    Entry {
        name: "ViT-L-14-SigLIP-CLIPA-224",
        adaptor: None,
        family: "NV-CLIP",
        licence: APACHE,
        sources: &[source("UCSC-VLAA/ViT-L-14-CLIPA-datacomp1B", OPEN_CLIP, BOTH)],
        own: false,
        note: NO_OWN,
    },
    Entry {
        name: "ViT-L-14-SigLIP-CLIPA-336",
        adaptor: None,
        family: "NV-CLIP",
        licence: APACHE,
        sources: &[source("UCSC-VLAA/ViT-L-14-CLIPA-336-datacomp1B", OPEN_CLIP, BOTH)],
        own: false,
        note: NO_OWN,
    },
    Entry {
        name: "ViT-H-14-SigLIP-CLIPA-224",
        adaptor: None,
        family: "NV-CLIP",
        licence: APACHE,
        sources: &[source("UCSC-VLAA/ViT-H-14-CLIPA-datacomp1B", OPEN_CLIP, BOTH)],
        own: false,
        note: NO_OWN,
    },
    Entry {
        name: "ViT-H-14-SigLIP-CLIPA-336",
        adaptor: None,
        family: "NV-CLIP",
        licence: APACHE,
        sources: &[source("UCSC-VLAA/ViT-H-14-CLIPA-336-datacomp1B", OPEN_CLIP, BOTH)],
        own: false,
        note: NO_OWN,
    },
    Entry {
        name: "ViT-H-14-SigLIP-CLIPA-574",
        adaptor: None,
        family: "NV-CLIP",
        licence: "NGC",
        sources: &[],
        own: false,
        note: "NVIDIA gives these weights out through NGC alone; train.pretrained_model_path takes them",
    },
    Entry {
        name: "clip-tiny-64",
        adaptor: None,
        family: "CLIP",
        licence: "none needed",
        sources: &[],
        own: false,
        note: "for demonstrations and tests; starts from random numbers",
    },
];

/// The ways to use a bundled type; none when there is no such type.
pub fn entries(name: &str) -> impl Iterator<Item = &'static Entry> + Clone + use<'_> {
    CATALOG.iter().filter(move |entry| entry.name == name)
}
