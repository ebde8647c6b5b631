import Checkpoints
import Foundation
import TestSupport
import Testing

/// The Python with the libraries: `$RILQ_PYTHON`, or the one of the path.
private enum Python {
  static let readers = Fixtures.root + "/Tests/Readers/"

  static func run(_ arguments: [String]) -> Bool {
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = [ProcessInfo.processInfo.environment["RILQ_PYTHON"] ?? "python3", "-B"] + arguments
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    guard (try? process.run()) != nil else { return false }
    process.waitUntilExit()
    return process.terminationStatus == 0
  }

  static let hasNumpy = run(["-c", "import numpy"])
  static let hasCompressedTensors = run([
    "-c", "import safetensors, torch; import compressed_tensors.compressors.pack_quantized.base",
  ])
  static let hasAutoRound = run([
    "-c", "import safetensors, torch; import auto_round_extension.torch.qlinear_torch_zp",
  ])
}

/// A library, and whether zero points are symmetric, and the width of codes.
private let peerCases: [(String, IntegerFormat)] =
  (Python.hasCompressedTensors ? [("compressed-tensors", .compressedTensors)] : [])
  + (Python.hasAutoRound ? [("auto-round", .autoRound)] : [])

/// The weights of module `m` as this package computes them, in f32.
private func weights(of checkpoint: Checkpoint) throws -> [Float] {
  let parameters = try #require(checkpoint.contents.quantization["m"])
  let shape = try #require(checkpoint.tensor(named: "m.weight")).shape
  let words = try checkpoint.copiedBytes(of: "m.weight")
  let scales = try Fixtures.floats("m.scales", in: checkpoint)
  let biases = try Fixtures.floats("m.biases", in: checkpoint)
  let (bits, columns) = (parameters.bits, shape[1] * 32 / parameters.bits)
  return (0..<shape[0] * columns).map { i in
    var code = 0
    for bit in 0..<bits {
      let position = i * bits + bit
      code |= Int(words[position / 8] >> UInt8(position % 8) & 1) << bit
    }
    let group = i / parameters.groupSize
    let product = scales[group] * Float(code)
    return product + biases[group]
  }
}

@Suite struct `Python readers of integer zero points` {
  private let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
    try folder.write("out/.keep", "")
  }

  private func found() throws -> [Float] {
    let bytes = try folder.read("out/m.f32")
    return stride(from: 0, to: bytes.count, by: 4).map { i in
      Float(bitPattern: (0..<4).reduce(0) { $0 | UInt32(bytes[i + $1]) << UInt32(8 * $1) })
    }
  }

  private func source(bits: Int, isSymmetric: Bool) throws -> Checkpoint {
    let sample = IntegerSample(
      outputCount: 64, inputCount: 96, bits: bits, isSymmetric: isSymmetric, seed: UInt64(bits))
    return try IntegerFixture.compressedTensors(sample, isSymmetric: isSymmetric).open(in: folder)
  }

  @Test(
    .enabled(if: Python.hasNumpy, "python3 has no numpy"), arguments: [2, 3, 4, 8],
    [IntegerFormat.gptq, .gptqV2, .autoRound, .compressedTensors])
  func `an independent decoder finds the same weights`(bits: Int, format: IntegerFormat) throws {
    for isSymmetric in [false, true] {
      let checkpoint = try source(bits: bits, isSymmetric: isSymmetric)
      try checkpoint.write(format, to: folder.path("written-\(isSymmetric)"))
      #expect(
        Python.run([
          Python.readers + "integer_reader.py", folder.path("written-\(isSymmetric)"), folder.path("out"),
        ]))
      #expect(try found() == weights(of: checkpoint))
    }
  }

  @Test(
    .enabled(if: !peerCases.isEmpty, "python3 has neither compressed_tensors nor auto_round"),
    arguments: peerCases, [2, 3, 4])
  func `the libraries read what we write`(peer: (String, IntegerFormat), bits: Int) throws {
    for isSymmetric in [false, true] {
      let checkpoint = try source(bits: bits, isSymmetric: isSymmetric)
      let path = folder.path("written-\(isSymmetric)")
      try checkpoint.write(peer.1, to: path)
      #expect(Python.run([Python.readers + "integer_peers.py", peer.0, "read", path, folder.path("out")]))
      #expect(try found() == weights(of: checkpoint))
    }
  }

  @Test(
    .enabled(if: !peerCases.isEmpty, "python3 has neither compressed_tensors nor auto_round"),
    arguments: peerCases, [2, 3, 4])
  func `reads what the libraries write`(peer: (String, IntegerFormat), bits: Int) throws {
    for isSymmetric in [false, true] {
      let path = folder.path("theirs-\(isSymmetric)")
      #expect(
        Python.run([
          Python.readers + "integer_peers.py", peer.0, "write", path, folder.path("out"), "\(bits)",
          "\(isSymmetric)",
        ]))
      #expect(try weights(of: Checkpoint.open(path: path)) == found())
    }
  }
}
