import Checkpoints
import Foundation
import TestSupport
import Testing

@Suite struct `Output workspace` {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func workspace(
    _ name: String = "out", force: Bool = false, inputs: [String] = []
  ) throws -> OutputWorkspace {
    try OutputWorkspace(target: folder.path(name), force: force, inputs: inputs.map(folder.path))
  }

  private func refusal(_ name: String = "out", force: Bool = false, inputs: [String] = []) -> String? {
    message(in: folder) { _ = try workspace(name, force: force, inputs: inputs) }
  }

  @Test func `publishes a file`() throws {
    let workspace = try workspace()
    try Data([1, 2]).write(to: URL(filePath: workspace.path("new")))
    #expect(try folder.names() == [".out.partial"])
    try workspace.publish("new")
    #expect(try folder.names() == ["out"])
    #expect(try folder.read("out") == [1, 2])
  }

  @Test func `publishes a folder`() throws {
    let workspace = try workspace()
    try SampleCheckpoint([]).write(to: workspace.path("new"))
    try workspace.publish("new")
    #expect(try folder.names() == ["out"])
    #expect(try Checkpoint.open(path: folder.path("out")).contents.tensors.isEmpty)
  }

  @Test func `accepts a target with a slash at its end`() throws {
    let workspace = try workspace("out//")
    try SampleCheckpoint([]).write(to: workspace.path("new"))
    try workspace.publish("new")
    #expect(try folder.names() == ["out"])
  }

  @Test func `refuses a target that exists`() throws {
    try folder.write("out", "old")
    #expect(refusal().says("/out: exists … --force …"))
    #expect(try folder.names() == ["out"])
  }

  @Test func `replaces a file when forced`() throws {
    try folder.write("out", "old")
    let workspace = try workspace(force: true)
    try Data([1]).write(to: URL(filePath: workspace.path("new")))
    #expect(try folder.read("out") == Array("old".utf8))
    try workspace.publish("new")
    #expect(try folder.read("out") == [1])
    #expect(try folder.names() == ["out"])
  }

  @Test func `replaces a checkpoint folder when forced`() throws {
    try folder.write("out/model.safetensors", safetensors("{\(entry("old", "U8", [1], 0, 1))}", [1]))
    try folder.write("out/old.txt", "")
    let workspace = try workspace(force: true)
    try SampleCheckpoint([]).write(to: workspace.path("new"))
    try workspace.publish("new")
    #expect(try Checkpoint.open(path: folder.path("out")).contents == CheckpointContents(tensors: []))
    #expect(try folder.names() == ["out"])
  }

  @Test func `replaces a folder by a file when forced`() throws {
    try folder.write("out/model.safetensors", safetensors("{}"))
    let workspace = try workspace(force: true)
    try Data([1]).write(to: URL(filePath: workspace.path("new")))
    try workspace.publish("new")
    #expect(try folder.read("out") == [1])
    #expect(try folder.names() == ["out"])
  }

  @Test func `refuses to replace a folder that is no checkpoint`() throws {
    try folder.write("out/thesis.tex", "")
    #expect(refusal(force: true).says("/out: … folder without …"))
  }

  @Test func `refuses the input as target, also through a link`() throws {
    try folder.write("in/model.safetensors", "")
    try FileManager.default.createSymbolicLink(atPath: folder.path("link"), withDestinationPath: "in")
    #expect(refusal("in", force: true, inputs: ["in"]) == "/in: is the input itself")
    #expect(refusal("link", force: true, inputs: ["in"]).says("/link: … input itself"))
    #expect(refusal("in/", force: true, inputs: ["link"]).says("/in/: … input itself"))
    #expect(refusal("in/../in", force: true, inputs: ["in"]).says("/in/../in: … input itself"))
  }

  @Test func `refuses a target that holds the input`() throws {
    try folder.write("a/b/model.safetensors", "")
    #expect(
      refusal("a", force: true, inputs: ["a/b"])
        == "/a: holds the input '\(folder.path("a/b"))'"
        .replacing(folder.path, with: ""))
  }

  @Test func `refuses a target inside the input`() throws {
    try folder.write("in/model.safetensors", "")
    #expect(refusal("in/out", inputs: ["in"]).says("/in/out: … '/in'"))
  }

  @Test func `allows a target whose name begins like the input`() throws {
    try folder.write("in/model.safetensors", "")
    #expect(refusal("in2", inputs: ["in"]) == nil)
  }

  @Test func `refuses a folder that is not there`() {
    #expect(refusal("x/y/out").says("/x/y/out: … '/x/y' … missing"))
  }

  @Test(arguments: ["", ".."])
  func `refuses a name that is none`(name: String) {
    #expect(message(in: folder) { _ = try OutputWorkspace(target: name, force: false, inputs: []) } != nil)
  }

  @Test func `refuses to work beside another run`() throws {
    let first = try workspace()
    #expect(refusal().says("/out: another run …"))
    first.discard()
    #expect(refusal() == nil)
  }

  @Test func `removes what a killed run left`() throws {
    try folder.write(".out.partial/lock", "")
    try folder.write(".out.partial/new/model.safetensors", "")
    let workspace = try workspace()
    #expect(!FileManager.default.fileExists(atPath: workspace.path("new")))
    #expect(try folder.names() == [".out.partial"])
  }

  @Test func `refuses a link where it works`() throws {
    try folder.write("elsewhere/precious", "")
    try FileManager.default.createSymbolicLink(
      atPath: folder.path(".out.partial"), withDestinationPath: "elsewhere")
    #expect(refusal().says("/.out.partial: … link where …"))
    #expect(FileManager.default.fileExists(atPath: folder.path("elsewhere/precious")))
  }

  @Test func `leaves nothing when it goes away`() throws {
    try folder.write("out", "old")
    do {
      let workspace = try workspace(force: true)
      try Data([1]).write(to: URL(filePath: workspace.path("new")))
    }
    #expect(try folder.names() == ["out"])
    #expect(try folder.read("out") == Array("old".utf8))
  }

  @Test func `leaves the target when publishing fails`() throws {
    try folder.write("out", "old")
    let workspace = try workspace(force: true)
    #expect(throws: FormatError.self) { try workspace.publish("never made") }
    #expect(try folder.read("out") == Array("old".utf8))
  }

  @Test func `refuses a target that appeared meanwhile`() throws {
    let workspace = try workspace()
    try Data([1]).write(to: URL(filePath: workspace.path("new")))
    try folder.write("out", "other")
    #expect(
      message(in: folder) { try workspace.publish("new") }.says("/out: exists … --force …"))
    #expect(try folder.read("out") == Array("other".utf8))
  }
}

/// What a run leaves for a later one.
@Suite struct `Output workspace that is taken over` {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func workspace(keepsLeftovers: Bool) throws -> OutputWorkspace {
    try OutputWorkspace(
      target: folder.path("out"), force: false, inputs: [], keepsLeftovers: keepsLeftovers)
  }

  private func leftovers() throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder.path(".out.partial")).sorted()
  }

  @Test func `leaves what is to be kept, and nothing else`() throws {
    let workspace = try workspace(keepsLeftovers: false)
    try folder.write(".out.partial/step", "")
    try folder.write(".out.partial/unfinished/file", "")
    workspace.keep(["step"])
    workspace.discard()
    #expect(try leftovers() == ["lock", "step"])
  }

  @Test func `keeps leftovers until something else is said`() throws {
    try folder.write(".out.partial/step", "")
    try workspace(keepsLeftovers: true).discard()
    #expect(try leftovers() == ["lock", "step"])
    let workspace = try workspace(keepsLeftovers: true)
    try workspace.keepOnly([], whenDiscarded: false)
    #expect(try leftovers() == ["lock"])
    workspace.discard()
    #expect(try folder.names().isEmpty)
  }

  @Test func `gives a finished folder its name`() throws {
    let workspace = try workspace(keepsLeftovers: false)
    try folder.write(".out.partial/unfinished/a/b", "c")
    try workspace.complete("unfinished", as: "step")
    #expect(try folder.read(".out.partial/step/a/b") == Array("c".utf8))
    #expect(try leftovers() == ["lock", "step"])
  }

  @Test func `keeps nothing once it is published`() throws {
    let workspace = try workspace(keepsLeftovers: false)
    try folder.write(".out.partial/new", "whole")
    try folder.write(".out.partial/step", "")
    workspace.keep(["step", "new"])
    try workspace.publish("new")
    #expect(try folder.names() == ["out"])
  }

  @Test func `says whether a run has left something`() throws {
    #expect(!OutputWorkspace.isLeft(besides: folder.path("out")))
    try folder.write(".out.partial/step", "")
    #expect(OutputWorkspace.isLeft(besides: folder.path("out")))
  }
}
