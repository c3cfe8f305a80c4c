# frozen_string_literal: true

Gem::Specification.new do |spec|
  spec.name = "issei"
  spec.version = "0.1.0"
  spec.summary = "Puts a broadcast's command on issei's queue, and reads back how the broadcast stands"
  spec.authors = ["issei"]
  spec.license = "Apache-2.0"
  spec.required_ruby_version = ">= 3.1"
  spec.files = Dir["lib/**/*.rb", "README.md"]
end
