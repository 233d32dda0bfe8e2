/**
 * Names that are in a pickle for one purpose only: to have something run.
 *
 * Nothing that a pickle names is ever executed here. A file that has such a name beside its weights was still made to attack whoever
 * opens it with Python, and is refused as a whole, so that its weights are not carried on as if nothing were the matter.
 */

/** Packages of which every part is refused; and modules, which have no parts: `code.models` is somebody's package, not Python's `code`. */
const PACKAGES = words(
  'os subprocess importlib ctypes urllib http xmlrpc asyncio idlelib ensurepip venv pip distutils lib2to3 requests aiohttp numpy.f2py numpy.distutils torch.distributed.rpc torch._inductor torch._dynamo',
);
const MODULES = words(
  'posix nt sys runpy pty shutil socket marshal pickle _pickle cPickle webbrowser httplib commands popen2 platform pdb bdb timeit cProfile ' +
    'profile trace doctest pydoc imp zipimport pkgutil smtplib ftplib telnetlib imaplib poplib nntplib site ssl torch.hub ' +
    'torch.utils.cpp_extension numpy.testing._private.utils torch.jit.unsupported_tensor_ops torch.utils.bottleneck.__main__ torch.utils.collect_env ' +
    'torch.utils._config_module torch.utils.data.datapipes.utils.decoder torch.fx.experimental.symbolic_shapes',
);
const NAMES = words(
  'code.interact code.InteractiveConsole code.InteractiveInterpreter code.compile_command codeop.Compile codeop.CommandCompiler ' +
    'codeop.compile_command types.CodeType types.FunctionType operator.methodcaller functools.reduce io.open _io.open io.FileIO _io.FileIO ' +
    'tempfile.NamedTemporaryFile tempfile.mkstemp multiprocessing.Process threading.Thread signal.signal gc.get_objects numpy.load numpy.save ' +
    'numpy.fromfile numpy.loadtxt numpy.savetxt numpy.genfromtxt numpy.DataSource torch.save torch.ops.load_library torch.classes.load_library ' +
    'joblib.load torch.load torch.jit.load torch.serialization.load cloudpickle.subimport cloudpickle.cloudpickle.subimport dill._dill._import_module',
);
/** Of builtins: what evaluates, imports or opens. */
const BUILTINS = words('eval exec execfile compile open file input raw_input __import__ breakpoint apply globals locals vars setattr delattr exit quit');
const BUILTIN_MODULES = words('builtins __builtin__ __builtins__');
/** What modules are called that other modules have imported, and what reaches them. */
const HIDDEN = words('system popen __globals__ __builtins__ __import__ __loader__ __subclasses__ __code__');
const MAX_PARTS = 16;

/** Whether a pickle that names this wants something run. */
export function isDangerous(module: string, name: string): boolean {
  const parts = module.split('.', MAX_PARTS);
  if (parts.some((_, i) => PACKAGES.has(parts.slice(0, i + 1).join('.')))) return true;
  if (MODULES.has(module) || NAMES.has(`${module}.${name}`)) return true;
  // 'torch.serialization', 'os.system': attributes of attributes, and a module that was imported is one too.
  const attributes = name.split('.', MAX_PARTS);
  if (BUILTIN_MODULES.has(module) && BUILTINS.has(attributes[0]!)) return true;
  return attributes.some((attribute) => HIDDEN.has(attribute) || (attributes.length > 1 && isModuleName(attribute)));
}

function isModuleName(attribute: string): boolean {
  const plain = attribute.replace(/^_+/, '');
  return PACKAGES.has(plain) || MODULES.has(plain) || BUILTIN_MODULES.has(attribute);
}

function words(text: string): ReadonlySet<string> {
  return new Set(text.split(' '));
}
