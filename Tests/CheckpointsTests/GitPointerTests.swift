import Checkpoints
import TestSupport
import Testing

/// What Git LFS leaves in the place of a file is named, wherever the file is.
@Suite struct GitPointerTests {
  static let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9085657\n"

  @Test(arguments: [
    "model.safetensors", "config.json", "model.safetensors.index.json", "rilq.json", "adapter_config.json",
    "adapter_model.safetensors",
  ])
  func `a pointer among the files of a folder is named`(name: String) throws {
    let folder = try TemporaryFolder()
    try SampleCheckpoint([TensorInfo(name: "a", dtype: .u8, shape: [2])]).write(to: folder.path("x"))
    if name.hasPrefix("adapter") {
      for other in ["adapter_config.json", "adapter_model.safetensors"] {
        try folder.write(
          "x/" + other, #"{"peft_type": "LORA", "r": 2, "lora_alpha": 2, "target_modules": ["a"]}"#)
      }
    }
    try folder.write("x/" + name, Self.pointer)
    let error = #expect(throws: FormatError.self) { try Checkpoint.open(path: folder.path("x")) }
    #expect(error?.path == folder.path("x/" + name))
    #expect(error?.description.contains("is a Git LFS pointer") == true, "\(error?.description ?? "")")
  }

  @Test(arguments: ["x.rilq", "x.gguf", "x.safetensors", "x.bin", "x"])
  func `a file that is a pointer is named`(name: String) throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(name, Self.pointer)
    let error = #expect(throws: FormatError.self) { try Checkpoint.open(path: path) }
    #expect(error?.path == path)
    #expect(error?.description.contains("is a Git LFS pointer") == true)
  }

  @Test func `a pointer that nobody has read is found by looking at all files`() throws {
    let folder = try TemporaryFolder()
    try SampleCheckpoint([TensorInfo(name: "a", dtype: .u8, shape: [2])]).write(to: folder.path("x"))
    try Checkpoint.open(path: folder.path("x")).requireWholeAssets()
    try folder.write("x/tokenizer.json", Self.pointer)
    let checkpoint = try Checkpoint.open(path: folder.path("x"))
    let error = #expect(throws: FormatError.self) { try checkpoint.requireWholeAssets() }
    #expect(error?.path == folder.path("x/tokenizer.json"))
  }
}
