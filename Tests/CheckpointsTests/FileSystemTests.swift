import Checkpoints
import Foundation
import TestSupport
import Testing

/// Links: those of the Hugging Face cache are followed, others stay in their folder.
@Suite struct FileSystemTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// Puts a checkpoint's files under `blobs`, with links to them in a snapshot.
  private func makeSnapshot(in model: String) throws -> String {
    try SampleCheckpoint([TensorInfo(name: "a", dtype: .u8, shape: [2])]).write(to: folder.path("blobs"))
    let snapshot = folder.path("\(model)/snapshots/abc123")
    let files = FileManager.default
    try files.createDirectory(atPath: snapshot, withIntermediateDirectories: true)
    try files.moveItem(atPath: folder.path("blobs"), toPath: folder.path("\(model)/blobs"))
    for name in try files.contentsOfDirectory(atPath: folder.path("\(model)/blobs")) {
      try files.createSymbolicLink(
        atPath: snapshot + "/" + name, withDestinationPath: "../../blobs/" + name)
    }
    return snapshot
  }

  @Test func `links of a snapshot lead into the folder of its model`() throws {
    let checkpoint = try Checkpoint.open(path: makeSnapshot(in: "hub/models--org--tiny"))
    #expect(try checkpoint.bytes(of: "a").count == 2)
  }

  @Test func `a snapshot is read through a link to it`() throws {
    let snapshot = try makeSnapshot(in: "hub/models--org--tiny")
    try FileManager.default.createSymbolicLink(
      atPath: folder.path("mine"), withDestinationPath: snapshot)
    #expect(try Checkpoint.open(path: folder.path("mine/")).contents.tensors.count == 1)
    let file = snapshot + "/model.safetensors"
    #expect(try Checkpoint.open(path: file).contents.tensors.count == 1)
  }

  @Test(arguments: ["hub/org--tiny", "models--org--tiny/other"])
  func `the same links are refused anywhere else`(model: String) throws {
    let snapshot = try makeSnapshot(in: model)
    let error = #expect(throws: FormatError.self) { try Checkpoint.open(path: snapshot) }
    #expect(error?.description.contains("is a link that leaves the folder") == true)
  }

  @Test func `a link of a snapshot that leaves the folder of its model is refused`() throws {
    let snapshot = try makeSnapshot(in: "hub/models--org--tiny")
    let secret = try folder.write("hub/models--org--other/blobs/secret", "{}")
    try FileManager.default.createSymbolicLink(
      atPath: snapshot + "/config.json", withDestinationPath: secret)
    let error = #expect(throws: FormatError.self) { try Checkpoint.open(path: snapshot) }
    #expect(error?.path == snapshot + "/config.json")
    #expect(error?.description.contains("is a link that leaves the folder") == true)
  }
}
