import Checkpoints
import Foundation
import TestSupport
import Testing

/// The options whose sections Python can decompress: zstd needs a module, a command or Python 3.14.
private let readableOptions = ContainerRoundTripTests.options.filter { options in
  guard case .zstd = options.compression else { return true }
  let program = """
    import importlib.util as u, shutil, sys
    sys.exit(not (shutil.which('zstd') or u.find_spec('zstandard') or sys.version_info >= (3, 14)))
    """
  return PythonPeer.has("zstandard") || (try? PythonPeer.run(program)) != nil
}

/// The reader that was written from the document alone.
@Suite(.enabled(if: PythonPeer.has("zlib"), "skipped: no Python"))
struct ContainerPythonReaderTests {
  @Test(arguments: readableOptions)
  func `the Python reader finds the same tensors, parameters and digests`(options: ContainerOptions) throws {
    let folder = try TemporaryFolder()
    let path = folder.path("a.rilq")
    let sample = ContainerSample.everything(seed: 4)
    let writer = try sample.write(to: path, options)
    let found = try JSONValue(parsing: Array(PythonPeer.runReader("rilq_reader.py", [path]).utf8))
    #expect(found["content_digest"]?.string == writer.contentDigest?.description)
    #expect(found["adapter"]?["alpha"]?.double == 32.5)
    #expect(found["quantization"]?["m"]?["group_size"]?.integer == 32)
    #expect(found["quantization"]?["blocks"]?["grid"]?.string == "q2_k")
    #expect(found["quantization"]?["zeros"]?["grid"]?.string == "portable")
    let sections = try #require(found["sections"]?.array)
    let file = try ContainerFile(path: path)
    #expect(sections.count == sample.tensors.count + sample.assets.count + 1)
    for (tensor, section) in zip(sample.contents.tensors, sections) {
      #expect(section["name"]?.string == tensor.name)
      #expect(section["dtype"]?.string == tensor.dtype.rawValue)
      #expect(section["shape"]?.array?.compactMap(\.integer) == tensor.shape)
      #expect(section["sha256"]?.string == file.digest(ofTensor: tensor.name)?.description)
    }
  }

  @Test func `the Python reader extracts the same bytes`() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("a.rilq")
    try ContainerSample.worked.write(to: path, .init(compression: .none))
    let text = try PythonPeer.runReader("rilq_reader.py", [path, "--extract", "config.json"])
    #expect(Array(text.utf8) == ContainerSample.worked.assets[0])
  }

  @Test func `the Python reader refuses every lie`() throws {
    let folder = try TemporaryFolder()
    let paths = try ContainerLie.all.enumerated().map { i, lie in
      let path = folder.path("\(i).rilq")
      try Data(lie.bytes()).write(to: URL(filePath: path))
      return path
    }
    let script = """
      import sys
      sys.path.insert(0, sys.argv[1])
      import rilq_reader
      for path in sys.argv[2:]:
          try:
              rilq_reader.describe(rilq_reader.Container(path))
              print(path, "was accepted")
          except (rilq_reader.Refused, ValueError):
              pass
      """
    #expect(try PythonPeer.run(script, [Fixtures.root + "/Tests/Readers"] + paths) == "")
  }
}
