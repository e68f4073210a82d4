//! The names that a pickle may use, and what each becomes. A name that is not here refuses the file.

use safetensors::Dtype;

/// What a name becomes when it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Make {
    /// A mapping: empty, or of the pairs it is given.
    Dict,
    /// An object that keeps its attributes.
    Record,
    /// A list, tuple or set of the values it is given.
    List,
    /// Its first argument.
    First,
    /// The arguments as a path.
    Path,
    /// Bytes out of text, as old protocols spell them.
    Encode,
    /// A tensor: storage, offset, shape, strides.
    Tensor,
    /// A tensor of a subclass: function, class, arguments of the function.
    TensorSubclass,
    /// A scalar of NumPy: kind, bytes.
    NumpyScalar,
    /// A kind of number of NumPy.
    NumpyKind,
    /// The class of a storage.
    Storage(Option<Dtype>),
    /// A value without content here; calling it gives the same.
    Opaque,
}

/// A name on the list.
#[derive(Debug, PartialEq, Eq)]
pub struct Global {
    /// Module.
    pub module: &'static str,
    /// Name in it.
    pub name: &'static str,
    /// What it becomes.
    pub make: Make,
}

const fn row(module: &'static str, name: &'static str, make: Make) -> Global {
    Global { module, name, make }
}

/// The list.
pub(super) static GLOBALS: &[Global] = &[
    row("collections", "OrderedDict", Make::Dict),
    row("collections", "defaultdict", Make::Record),
    row("collections", "Counter", Make::Dict),
    row("argparse", "Namespace", Make::Record),
    row("types", "SimpleNamespace", Make::Record),
    row("builtins", "dict", Make::Dict),
    row("builtins", "list", Make::List),
    row("builtins", "tuple", Make::List),
    row("builtins", "set", Make::List),
    row("builtins", "frozenset", Make::List),
    row("builtins", "int", Make::First),
    row("builtins", "float", Make::First),
    row("builtins", "bool", Make::First),
    row("builtins", "str", Make::First),
    row("builtins", "bytes", Make::First),
    row("builtins", "bytearray", Make::First),
    row("builtins", "complex", Make::Opaque),
    row("builtins", "slice", Make::Opaque),
    row("__builtin__", "dict", Make::Dict),
    row("__builtin__", "list", Make::List),
    row("__builtin__", "tuple", Make::List),
    row("__builtin__", "set", Make::List),
    row("__builtin__", "frozenset", Make::List),
    row("__builtin__", "int", Make::First),
    row("__builtin__", "long", Make::First),
    row("__builtin__", "str", Make::First),
    row("__builtin__", "bytearray", Make::First),
    row("__builtin__", "float", Make::First),
    row("__builtin__", "bool", Make::First),
    row("__builtin__", "unicode", Make::First),
    row("_codecs", "encode", Make::Encode),
    row("pathlib", "PosixPath", Make::Path),
    row("pathlib", "PurePosixPath", Make::Path),
    row("pathlib", "WindowsPath", Make::Path),
    row("pathlib", "Path", Make::Path),
    row("pathlib._local", "PosixPath", Make::Path),
    row("datetime", "datetime", Make::Opaque),
    row("datetime", "timedelta", Make::Opaque),
    row("torch._utils", "_rebuild_tensor", Make::Tensor),
    row("torch._utils", "_rebuild_tensor_v2", Make::Tensor),
    row("torch._utils", "_rebuild_parameter", Make::First),
    row("torch._utils", "_rebuild_parameter_with_state", Make::First),
    row("torch._tensor", "_rebuild_from_type_v2", Make::TensorSubclass),
    row("torch", "Tensor", Make::Opaque),
    row("torch.nn.parameter", "Parameter", Make::Opaque),
    row("torch.nn.parameter", "Buffer", Make::Opaque),
    row("torch", "Size", Make::List),
    row("torch", "device", Make::Opaque),
    row("torch", "float64", Make::Opaque),
    row("torch", "float32", Make::Opaque),
    row("torch", "float16", Make::Opaque),
    row("torch", "bfloat16", Make::Opaque),
    row("torch", "int64", Make::Opaque),
    row("torch", "int32", Make::Opaque),
    row("torch", "uint8", Make::Opaque),
    row("torch", "bool", Make::Opaque),
    row("torch", "DoubleStorage", Make::Storage(Some(Dtype::F64))),
    row("torch", "FloatStorage", Make::Storage(Some(Dtype::F32))),
    row("torch", "HalfStorage", Make::Storage(Some(Dtype::F16))),
    row("torch", "BFloat16Storage", Make::Storage(Some(Dtype::BF16))),
    row("torch", "LongStorage", Make::Storage(Some(Dtype::I64))),
    row("torch", "IntStorage", Make::Storage(Some(Dtype::I32))),
    row("torch", "ShortStorage", Make::Storage(Some(Dtype::I16))),
    row("torch", "CharStorage", Make::Storage(Some(Dtype::I8))),
    row("torch", "ByteStorage", Make::Storage(Some(Dtype::U8))),
    row("torch", "BoolStorage", Make::Storage(Some(Dtype::BOOL))),
    row("torch", "UntypedStorage", Make::Storage(None)),
    row("torch.storage", "UntypedStorage", Make::Storage(None)),
    row("torch.storage", "TypedStorage", Make::Storage(None)),
    row("numpy", "dtype", Make::NumpyKind),
    row("numpy", "ndarray", Make::Opaque),
    row("numpy.core.multiarray", "scalar", Make::NumpyScalar),
    row("numpy._core.multiarray", "scalar", Make::NumpyScalar),
    row("numpy.core.multiarray", "_reconstruct", Make::Opaque),
    row("numpy._core.multiarray", "_reconstruct", Make::Opaque),
    row("pytorch_lightning.utilities.parsing", "AttributeDict", Make::Dict),
    row("lightning.pytorch.utilities.parsing", "AttributeDict", Make::Dict),
    row("lightning_fabric.utilities.data", "AttributeDict", Make::Dict),
    row("lightning.fabric.utilities.data", "AttributeDict", Make::Dict),
    row("omegaconf.dictconfig", "DictConfig", Make::Record),
    row("omegaconf.listconfig", "ListConfig", Make::Record),
    row("omegaconf.base", "ContainerMetadata", Make::Record),
    row("omegaconf.base", "Metadata", Make::Record),
    row("omegaconf.nodes", "AnyNode", Make::Record),
    row("omegaconf.nodes", "StringNode", Make::Record),
    row("omegaconf.nodes", "IntegerNode", Make::Record),
    row("omegaconf.nodes", "FloatNode", Make::Record),
    row("omegaconf.nodes", "BooleanNode", Make::Record),
    row("omegaconf.nodes", "BytesNode", Make::Record),
    row("omegaconf.nodes", "EnumNode", Make::Record),
    row("omegaconf.nodes", "PathNode", Make::Record),
    row("omegaconf.base", "UnionNode", Make::Record),
    row("typing", "Any", Make::Opaque),
    row("typing", "Dict", Make::Opaque),
    row("typing", "List", Make::Opaque),
    row("typing", "Optional", Make::Opaque),
    row("typing", "Tuple", Make::Opaque),
    row("typing", "Union", Make::Opaque),
];

/// The classes of TAO's settings (`nvidia_tao_core.config.clip.default_config.ExperimentConfig` …): OmegaConf keeps them beside
/// the values.
static TAO: Global = row("nvidia_tao", "settings", Make::Record);

/// The row of a name.
pub(super) fn find(module: &str, name: &str) -> Option<&'static Global> {
    let listed = GLOBALS.iter().find(|g| g.module == module && g.name == name);
    let is_tao = || module.starts_with("nvidia_tao_") && module.split('.').any(|part| part == "config");
    listed.or_else(|| is_tao().then_some(&TAO))
}
