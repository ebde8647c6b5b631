import Checkpoints
import Foundation
import Testing

/// Runs the reader that was written from the document alone.
enum PythonReader {
  static let folder = repositoryRoot + "/Tests/Readers"

  /// What Python prints, and whether it ended well.
  static func run(_ arguments: [String]) throws -> (text: String, status: Int32) {
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = ["python3", "-B"] + arguments
    let output = Pipe()
    process.standardOutput = output
    try process.run()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    return (text, process.terminationStatus)
  }

  /// Whether there is a Python; zstd also needs its module or command.
  static let isThere = (try? run(["-c", "import zlib"]).status) == 0
  static let readsZstd =
    (try? run([
      "-c",
      """
      import importlib.util as u, shutil, sys
      sys.exit(not (shutil.which('zstd') or u.find_spec('zstandard') or sys.version_info >= (3, 14)))
      """,
    ]).status) == 0

  static let options = ContainerRoundTripTests.options.filter { options in
    if case .zstd = options.compression { return readsZstd }
    return true
  }
}

@Suite(.enabled(if: PythonReader.isThere)) struct ContainerPythonReaderTests {
  @Test(arguments: PythonReader.options)
  func `the Python reader finds the same tensors, parameters and digests`(options: ContainerOptions) throws {
    let folder = try ContainerFolder()
    let path = folder.path + "/a.rilq"
    let sample = ContainerSample.everything(seed: 4)
    let writer = try sample.write(to: path, options)
    let result = try PythonReader.run([PythonReader.folder + "/rilq_reader.py", path])
    #expect(result.status == 0)
    let found = try JSONValue(parsing: Array(result.text.utf8))
    #expect(found["content_digest"]?.string == writer.contentDigest?.description)
    #expect(found["adapter"]?["alpha"]?.double == 32.5)
    #expect(found["quantization"]?["m"]?["group_size"]?.integer == 32)
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
    let folder = try ContainerFolder()
    let path = folder.path + "/a.rilq"
    try ContainerSample.worked.write(to: path, .init(compression: .none))
    let result = try PythonReader.run([
      PythonReader.folder + "/rilq_reader.py", path, "--extract", "config.json",
    ])
    #expect(Array(result.text.utf8) == ContainerSample.worked.assets[0])
  }

  @Test func `the Python reader refuses every lie`() throws {
    let folder = try ContainerFolder()
    let paths = try ContainerLie.all.enumerated().map { i, lie in
      let path = folder.path + "/\(i).rilq"
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
    let result = try PythonReader.run(["-c", script, PythonReader.folder] + paths)
    #expect(result.text == "")
    #expect(result.status == 0)
  }
}
