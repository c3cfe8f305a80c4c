# frozen_string_literal: true

# An app with Sidekiq, for the tests: its job is the example's. `sidekiq -r` loads it, and so does whoever clicks.

$LOAD_PATH.unshift(File.expand_path("../lib", __dir__))
require_relative "../example/send_broadcast"
require_relative "small_aws"
require "securerandom"
require "sidekiq/api"

Sidekiq.logger.level = Logger::WARN
# Looks every second for jobs that are due, where an idle app looks every five.
Sidekiq.options[:poll_interval_average] = 1

aws = SmallAws.new
Broadcasts.client = Issei::Client.new(sqs: aws, dynamodb: aws, queue_url: ENV.fetch("QUEUE_URL"), table: ENV.fetch("ISSEI_TABLE"))

# What no app may do: it makes up an id each time that it runs.
class MakesUpAnId
  include Sidekiq::Job

  def perform(command)
    Broadcasts.client.deliver(command.merge("broadcast_id" => "mail-#{SecureRandom.hex(8)}"))
  end
end

# In place of Sidekiq's own 15 seconds and more.
[SendBroadcast, MakesUpAnId].each { |job| job.sidekiq_retry_in { ENV.fetch("RETRY_IN", "1").to_i } }

Announcement = Struct.new(:id, :subject, :text, :approved_at, :approved_by, keyword_init: true) do
  # The row of the app's database, as the test has written it.
  def self.find
    row = JSON.parse(ENV.fetch("ROW"), symbolize_names: true)
    new(**row, approved_at: Time.at(row[:approved_at]))
  end
end

case ARGV.first
when "click" then Broadcasts.announce(Announcement.find)
when "make-up" then MakesUpAnId.perform_async(Issei.build(**JSON.parse($stdin.read).transform_keys(&:to_sym)))
# The buttons of Sidekiq's own pages.
when "retry-now" then Sidekiq::RetrySet.new.each(&:retry)
when "kill-one" then Sidekiq::RetrySet.new.first.kill
when "resurrect" then Sidekiq::DeadSet.new.each(&:retry)
end
