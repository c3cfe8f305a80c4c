# frozen_string_literal: true

# Does one thing with the client, for the tests: `driver.rb build|send|status`, for each line of JSON from standard input
# a line of JSON to standard output.

$LOAD_PATH.unshift(File.expand_path("../lib", __dir__))
require "issei"
require_relative "small_aws"

aws = SmallAws.new
client = Issei::Client.new(sqs: aws, dynamodb: aws, queue_url: ENV.fetch("QUEUE_URL"), table: ENV.fetch("ISSEI_TABLE"))
action = ARGV.fetch(0)
$stdin.each_line do |line|
  given = JSON.parse(line)
  told =
    begin
      case action
      when "build" then Issei.build(**given.transform_keys(&:to_sym))
      when "send" then { message_id: client.deliver(given) }
      when "status"
        status = client.status(given.fetch("broadcast_id"))
        { over: status.over?, **status.to_h, totals: status.totals&.to_h, refused: status.refused&.to_h }.compact
      end
    rescue StandardError => e
      { error: e.class.name, message: e.message }
    end
  puts JSON.generate(told)
end
