# frozen_string_literal: true

require "issei"
require "sidekiq"

# Puts one command on issei's queue. Everything that it sends was decided before it ran, so it may be tried again, clicked
# twice, killed and brought back: it always says the same.
class SendBroadcast
  include Sidekiq::Job

  def perform(command)
    Broadcasts.client.deliver(command)
  end
end

# What the app's own code calls: `Broadcasts.announce(row)` where somebody presses the button, and
# `Broadcasts.client.status(id)` where a page shows how it stands.
module Broadcasts
  class << self
    attr_accessor :client
  end

  def self.announce(announcement)
    SendBroadcast.perform_async(
      Issei.build(
        # By the row that it is about: another click, another process and another day make the same id.
        broadcast_id: "announcement-#{announcement.id}",
        audience: "users",
        class: "legal_notice",
        content: { inline: { subject: announcement.subject, text: announcement.text } },
        from: "Example <no-reply@example.com>",
        max_recipients: 120_000,
        # From the row too, and not from the clock, or a second click would say something else.
        not_after: announcement.approved_at + 24 * 3600,
        requested_by: announcement.approved_by
      )
    )
  end
end
