# What the bot says in English. Message ids and variables must match zh.ftl (a test compares).

## Commands

start =
    Hello! I am a food critic. 🍜

    Send me a photo of a dish and I name it, guess its cuisine and ingredients, and score it out of 10. Write a question with the photo, or ask more afterwards.

    /new starts over · /language 中文 or English · /help says more
help =
    Send a photo (or up to ten at once, or a picture as a file), with or without a question.
    Then ask on: “Is it healthy?”, “How is it made?”, “What wine goes with it?”
    A new photo starts a new conversation, and so does /new.
    While I write, “{ button-stop }” stops me. “{ button-again }” asks for another answer.
    👍 👎 rate an answer, and with ✏️ you tell me what was wrong.

    { commands }

    I can be wrong: a photo shows neither allergens nor freshness.
commands =
    /meme – with a photo or in reply to one: a meme
    /settings – gentle, frank or savage
    /new – start over
    /language – 中文 or English
    /privacy – what I hold about you, and how to delete it
    /help – this text
command-unknown =
    I know no such command. These I know:

    { commands }
new = A fresh start: send me a photo. /forget deletes what you sent before.
language-ask = Which language shall I speak?
language-set = I speak English now.
command-start = What I do
command-new = Start over
command-language = 中文 / English
command-help = How to use me
profile-description =
    A food critic: send a photo of a dish and read its name, cuisine, ingredients and an honest score.
    It can be wrong about what is on your plate.
profile-short = Send a dish, read its critique.

## While an answer is made

looking = 👀 Looking at it…
queued =
    { $ahead ->
        [0] ⏳ You are next
        [one] ⏳ One question is before yours
       *[other] ⏳ { $ahead } questions are before yours
    }{ $seconds ->
        [0] .
       *[other] , about { $seconds } s to wait.
    }
learning =
    🎓 I am learning from people's corrections right now. Your question is kept.{ $minutes ->
        [0] { "" }
        [one] { " " }About a minute of training is left, then an exam.
       *[other] { " " }About { $minutes } minutes of training are left, then an exam.
    }{ $ahead ->
        [0] { "" }
        [one] { " " }One question is before yours.
       *[other] { " " }{ $ahead } questions are before yours.
    }
opening =
    👩‍🍳 I am just opening: my model is being loaded. Your question is kept.{ $ahead ->
        [0] { "" }
        [one] { " " }One question is before yours.
       *[other] { " " }{ $ahead } questions are before yours.
    }
button-stop = ⏹ Stop
button-again = 🔁 Try again
stopped = ⏹ Stopped.
stopping = Stopping…
trying-again = Once more…

## Why there is no answer

failed-too-long = 😔 That is more than I can keep in mind at once. Ask in fewer words, or start over with /new.
failed = 😔 I could not finish this answer. That is my fault, not yours. Please try again.
photo-first = Send me a photo of a dish first. Then ask away.
photo-not-an-image = I cannot open this as a picture. Send it as a photo, or as JPEG, PNG, WebP or HEIC.
photo-truncated = This picture is cut off: part of it is missing. Please send it again.
photo-too-large = This file is larger than 20 MB, more than I may fetch. Send it as a photo instead.
photo-too-many-pixels = This picture has more than 50 million pixels. Send it as a photo, then Telegram makes it smaller.
photo-lost = I could not fetch the picture from Telegram. Please send it again.
photo-animated = That moves. I judge still photos only.
unsupported-sticker = A fine sticker, but I only judge food. Send me a photo of a dish.
unsupported-voice = I cannot listen. Please write your question, or send a photo of a dish.
unsupported-video = I cannot watch videos. Send me a photo of the dish instead.
unsupported-document = I only read pictures. Send the dish as a photo or as a picture file.
unsupported-other = I cannot use that. Send me a photo of a dish.
question-too-long = That is a long question: { $length } characters, and I read { $limit } at most. Please shorten it.
queue-full-user =
    You have { $limit ->
        [one] one question
       *[other] { $limit } questions
    } waiting already. Please ask again in about { $seconds } s.
queue-full-total = Too many people are asking right now. Please try again in about { $minutes ->
        [one] one minute
       *[other] { $minutes } minutes
    }.

## Answers to taps

tap-stale = This button no longer works.
tap-not-yours = Only the person who asked can do that.

## Groups

group-hello =
    Hello! I judge dishes. Send a photo with @{ $name } in its caption, or reply to anybody's photo with @{ $name }, and I say what I think of it. Reply to my answer to ask on.
    /meme@{ $name } in reply to a photo makes a meme of it. Administrators: /settings@{ $name }
group-help =
    @{ $name } in a photo's caption, or in reply to anybody's photo – my critique; add a question if you have one
    a reply to my answer – ask on
    /meme – in a photo's caption or in reply to one: a meme
    /new – start over
    /language – 中文 or English, for you
    /settings – for administrators: language, memes, tone, cooldown

    I can be wrong: a photo shows neither allergens nor freshness.
group-privacy =
    🔒 Privacy mode is on: Telegram shows me only what mentions me, answers me or commands me. I do not see a photo posted without my name (reply to it with my name), and of an album only the photo with the caption.
    To show me everything: @BotFather → /setprivacy → @{ $name } → Disable, then remove me from the group and add me again; or make me an administrator. I speak only when spoken to either way.
group-sees-all = 👀 I can see every message here, and speak only when I am mentioned, answered or commanded.

## Settings

settings-group = ⚙️ House rules of “{ $title }”: language, memes, tone, cooldown. Only administrators can change them.
settings-private = ⚙️ How shall I talk to you?
settings-admins-only = Only administrators of this group can change my settings.
settings-language-auto = Everybody's own
settings-memes-on = Memes
settings-memes-off = No memes
settings-tone-gentle = Gentle
settings-tone-frank = Frank
settings-tone-savage = Savage
settings-cooldown =
    { $seconds ->
        [0] No pause
        [10] 10 s
        [30] 30 s
        [120] 2 min
       *[other] 10 min
    }
settings-done = Done
tap-admins-only = Only administrators can change this.
tap-saved = Saved.
tap-done = Done.
not-on-the-list = This critic eats at a private table: its operator has not put you on the list.

photo-first-group = I know no photo of yours. Reply to a photo with @{ $name } and your question.
mention-alone = Yes? Ask me about your last photo, or reply to another one with @{ $name }.
photo-unseen = (With privacy mode on, Telegram hides from me what was posted without my name.)
album-partial = (Of this album Telegram showed me only the photo with the caption. For another one, reply to it with my name.)

## Limits

limit-none = You cannot ask me any more: the operator of this bot has set your quota to 0.
limit-cooldown = In this group I answer the same person every { $limit } s. Your next question can come at { $time }.
limit-user-minute =
    Slowly, please: I take { $limit ->
        [one] one question
       *[other] { $limit } questions
    } a minute from one person. Your next one can come at { $time }.
limit-user-day =
    That was a full meal: I take { $limit ->
        [one] one question
       *[other] { $limit } questions
    } a day from you. Your next one can come at { $time }.
limit-chat-minute =
    Too many forks at this table: I take { $limit ->
        [one] one question
       *[other] { $limit } questions
    } a minute from one chat. The next one can come at { $time }.
limit-chat-day =
    This table has had its { $limit ->
        [one] one question
       *[other] { $limit } questions
    } of the day. The next one can come at { $time }.

## Administrators

admin-quota-usage = /quota USER N – so many questions a day; /quota USER default – { $limit }, as everybody. USER is a Telegram user id.
admin-quota-set = User { $name } may ask { $limit } times a day.
admin-quota-default = User { $name } may ask as often as everybody: { $limit } times a day.
admin-ban-usage = /ban USER – answer this Telegram user id no more.
admin-unban-usage = /unban USER – answer this Telegram user id again.
admin-ban-admin = That is an administrator. Take the id out of FOODCRITIC_ADMINS first.
admin-banned = User { $name } is not answered any more.
admin-banned-already = User { $name } was banned already.
admin-unbanned = User { $name } is answered again.
admin-not-banned = User { $name } was not banned.
admin-maintenance-usage = /maintenance on – take no new questions; /maintenance off – take them again.
admin-maintenance-on = 🔧 Maintenance is on: I take no new questions and finish those I have. You yourself may still ask.
admin-maintenance-off = Maintenance is off: everybody may ask.
maintenance = 🔧 The kitchen is being cleaned. What you asked before is still answered; please ask anew in a while.

## Memes, cards, inline

button-meme-another = 🔁 Another
button-meme-style = 🎨 Other style
button-meme-plain = 🖼 Without text
button-meme-text = 🔤 With text
button-card = 🏅 Score card
meme-off = Memes are off in this group. Its administrators can turn them on: /settings
meme-first = Which photo? Send one with /meme as its caption, or reply to one with /meme@{ $name }.
meme-no-caption = 😔 Nothing funny came to my mind about this one. Try again?
photo-gone = The photo is not here any more. Please send it again.
pictures-not-allowed = I may not send pictures here. An administrator can allow it in this group's permissions.
tap-meme-too-long = That caption is too long for this style. Try another one.
tap-meme-more = Three new ones are coming…
tap-photo-gone = The photo is not here any more.
tap-card = Drawing the card…
tap-card-there = The card is here already.
inline-empty = No critiques yet. Show me a dish!
inline-nothing = No critique of that yet. Show me one!
guest-photo-first = Mention @{ $name } in reply to a photo of a dish, or in the photo's caption.
command-meme = Make a meme of a photo
command-settings = House rules, for administrators

## Ratings and corrections

rated-up = 👍 Thank you. Tap again to take it back.
rated-down = 👎 Noted. With ✏️ you can tell me what was wrong.
rated-none = Your rating is taken back.
fix-ask = ✏️ What is it really? Tap the right dish, or reply to this message with its name.
fix-ask-dish = ✏️ Reply to this message with the name of the dish.
fix-ask-text = ✏️ Reply to this message with the answer you would have given.
fix-hint-dish = Name of the dish
fix-hint-text = A better answer
fix-noted-dish = ✏️ Noted: { $dish }.
fix-noted-text = ✏️ Noted, a better answer: “{ $text }”
fix-thanks = Thank you. Somebody reads it before anything changes.
fix-undone = ↩️ Taken back.
fix-left = All right, nothing changes.
fix-too-long-dish = That is longer than the name of a dish: { $limit } characters are the most. For a whole answer tap ✏️ again and choose “{ button-better-text }”.
fix-too-long-text = That is longer than I can keep: { $limit } characters are the most.
button-no-dish = 🍽 No dish at all
button-other-dish = ⌨️ Another dish
button-better-text = 📝 A better answer
button-leave = ✖️ Never mind
button-undo = ↩️ Undo

## Privacy

consent-ask =
    May I learn from you? If you agree, the photos and questions you send me, your thumbs up and your corrections may be used to train my models. The people who run me look at corrections first.
    If not, I work just the same. You can change your mind at any time with /privacy.
consent-yes = ✅ Thank you: I may learn from you. /privacy changes it.
consent-no = 🚫 All right: I learn nothing from you. /privacy changes it.
button-agree-yes = ✅ Yes, learn from me
button-agree-no = 🚫 No
privacy =
    🔒 What I hold about you: your Telegram number, your settings{ $questions ->
        [0] {""}
        [one] , one question with its answer
       *[other] , { $questions } questions with their answers
    }{ $photos ->
        [0] {""}
        [one] , one photo
       *[other] , { $photos } photos
    }{ $ratings ->
        [0] {""}
        [one] , one rating
       *[other] , { $ratings } ratings
    }{ $corrections ->
        [0] {""}
        [one] , one correction
       *[other] , { $corrections } corrections
    }.

    { $days ->
        [0] I keep all of it until you delete it.
        [one] I delete questions and photos after a day, except those I may learn from.
       *[other] I delete questions and photos after { $days } days, except those I may learn from.
    }
    { $learning ->
        [yes] ✅ I may learn from what you send.
        [no] 🚫 I learn nothing from what you send.
       *[unasked] 🚫 I learn nothing from what you send, because you have not said that I may.
    }

    /export – a copy of everything, as a file
    /forget – delete everything
    What stands in this chat is kept by Telegram: clear the chat to delete it.
privacy-in-private = That is between you and me: write to me in private, @{ $name }.
button-learn-yes = ✅ You may learn from me
button-learn-no = 🚫 Learn nothing from me any more
button-export = 📦 My data
button-forget = 🗑 Forget me
export-here =
    { $total ->
        [one] 📦 Everything I hold about you.
       *[other] 📦 Everything I hold about you: file { $number } of { $total }.
    }
forget-ask =
    🗑 Shall I forget you? { $questions ->
        [0] Your settings,
        [one] One question with its answer,
       *[other] { $questions } questions with their answers,
    } { $photos ->
        [0] your ratings
        [one] one photo, your ratings
       *[other] { $photos } photos, your ratings
    } and corrections go, and I learn from them no more. This cannot be undone.
    What stands in this chat is kept by Telegram: clear the chat to delete it.
button-drop-yes = 🗑 Yes, forget everything
button-drop-no = No, keep it
forget-not = All right, I forget nothing.
forget-done =
    🗑 Forgotten: { $questions ->
        [0] your settings
        [one] one question
       *[other] { $questions } questions
    }{ $photos ->
        [0] {""}
        [one] {" "}and one photo
       *[other] {" "}and { $photos } photos
    }, and all that belongs to them. If you write to me again, we meet for the first time.
command-privacy = What I hold about you
command-export = A copy of your data
command-forget = Delete your data

## Training and models

retrain-ask = 🏋️ Train a better model now? { $count } corrections to learn from (approved, with consent), recipe { $name }. It takes minutes on a GPU or with nano, and hours on a CPU with a larger model. The new one serves only if it proves better.
button-retrain-go = 🏋️ Train
button-retrain-no = Not now
button-retrain-cancel = ✖️ Cancel the run
retrain-not-now = All right, no training now.
retrain-asked = Run { $number } was asked for. I will keep you posted here.
retrain-busy = Run { $number } is not finished yet: { $stage }.
retrain-cancelled = Run { $number } is being stopped.
run-waiting = ⏳ Run { $number } waits for the trainer.
run-prepare = 🧑‍🍳 Run { $number }: the old model answers once more, so that nothing is forgotten.
run-dataset = 📚 Run { $number }: gathering what people said.
run-train = 🏋️ Run { $number } is training.
run-step = 🏋️ Run { $number }: step { $step } of { $total }, loss { $loss }, { $time } left.
run-convert = 📦 Run { $number }: packing the new model.
run-gate = ⚖️ Run { $number }: old and new model sit the same exam.
run-promote = 🚚 Run { $number }: changing over.
run-promoted = ✅ Run { $number }: { $name } serves now. { $reason }
run-rejected = 🚫 Run { $number }: { $name } was not good enough, nothing changes. { $reason }
run-failed = 😔 Run { $number } failed, nothing changes. { $reason }
run-cancelled = ✖️ Run { $number } was cancelled, nothing changes.
gate-little = not enough evidence: { $count } held-out corrected photos, at least { $needed } needed
gate-better = better on { $count } held-out corrections: { $live } → { $candidate }, at least { $lower }
gate-not-better = not better for sure on { $count } held-out corrections: { $live } → { $candidate }, at least { $lower }
gate-not-judged = { $part } not judged: { $count } are too few, { $needed } would do
gate-not-worse = not worse on { $part } ({ $count }): { $live } → { $candidate }, at least { $lower }
gate-worse = perhaps worse by more than { $margin } on { $part } ({ $count }): { $live } → { $candidate }, at least { $lower }
gate-fast = fast enough: first word { $first_token_live } → { $first_token_candidate } ms, each token { $each_token_live } → { $each_token_candidate } ms
gate-slow = too slow: first word { $first_token_live } → { $first_token_candidate } ms, each token { $each_token_live } → { $each_token_candidate } ms
gate-part-corrections = corrections
gate-part-naming = naming
gate-part-foodieqa = FoodieQA
gate-part-checks = form and refusals
gate-part-latency = speed
models-list = 🧠 Serving: { $name }
models-error = ⚠️ The last change failed: { $reason }
models-row = { $name }: { $state }. { $reason }
models-none = There are no trained versions yet: /retrain makes one.
model-live = live
model-candidate = candidate
model-retired = retired
model-rejected = rejected
model-deleted = { $state }, files deleted
model-other = { $state }, of { $name }
button-model-promote = ⬆️ { $name }
button-model-rollback = ↩️ Roll back
tap-model-promoted = { $name } is live; the workers change over.
tap-model-back = { $name } is live again.
tap-model-cannot = That cannot be done: { $reason }
admin-review-empty = Nothing to review: no correction is waiting.
admin-review-last = That was the last one. Those you left for later are still waiting: /review.
admin-review-asked = Asked:
admin-review-no-question = a critique
admin-review-said = We said:
admin-review-dish = They say it is:
admin-review-text = They would write:
admin-review-no-consent = ⚠️ Not both of them (the author, and whose photo it is) have agreed that we learn from it. Until they do, an approval changes nothing.
admin-review-card = by { $name } · about { $title } · { $limit } waiting. To approve something else, reply with the dish’s name, or with a better answer of several lines.
admin-review-photo-gone = 🖼 A photo is gone.
admin-review-button-approve = ✅ Approve
admin-review-button-reject = ❌ Reject
admin-review-button-edit = ✏️ Edit
admin-review-button-later = ⏭ Later
admin-review-button-ban = ⛔ Reject all of theirs and ban the author
admin-review-approved = ✅ approved
admin-review-rejected = ❌ rejected
admin-review-banned = ⛔ rejected, the author is banned
admin-review-later = Left for later.
admin-review-edit = Reply to the card: with the dish’s name on one line, or with a better answer of several lines. That approves it as you wrote it.
admin-review-edited = ✏️ Approved as you wrote it: { $name }
admin-review-changed = Its author has changed it meanwhile: here is what it says now.
admin-review-done = It was reviewed already.
admin-review-gone = It was taken back.
admin-broadcast-usage = /broadcast TEXT – shows what everybody would get, and asks before it is sent. Or reply /broadcast to a text of yours.
admin-broadcast-refused = Telegram does not take this text: { $name }
admin-broadcast-preview =
    Above is what { $limit ->
        [one] one person
       *[other] { $limit } people
    } would get in private. Nobody who blocked me, nobody banned.
admin-broadcast-send = 📣 Send to { $limit }
admin-broadcast-drop = 🗑 Discard
admin-broadcast-begun = 📣 It is being sent.
admin-broadcast-stopped = 🗑 Stopped.
admin-broadcast-sending = 📣 Being sent: { $sent } of { $total } have it, { $blocked } blocked me, { $unknown } uncertain.
admin-broadcast-sent = 📣 Sent: { $sent } of { $total } have it, { $blocked } blocked me. Of { $unknown } it is not known; nothing is sent twice.
admin-broadcast-cancelled = 🗑 Stopped: { $sent } of { $total } had it, { $blocked } blocked me, { $unknown } uncertain.
admin-stats =
    📊 { $total ->
        [one] One person
       *[other] { $total } people
    }, { $count } of them asked in the last 24 hours, { $limit } in 7 days; { $number } groups.
    Today (UTC): { $sent } answers, { $blocked } failed, { $unknown } stopped. Waiting now: { $ahead }.
    Seconds to the first word, half / 95 %: { $seconds }; to the whole answer: { $time }.
    👍 / 👎 in { $days } days: { $ratings }.
    Corrections: { $corrections } to review, { $questions } approved.
admin-plot-answers = Jobs a day
admin-plot-answered = answered
admin-plot-failed = failed
admin-plot-stopped = stopped
admin-plot-waiting = From the question to the whole answer
admin-plot-seconds = seconds
admin-plot-ratings = Ratings a day
admin-plot-good = good
admin-plot-bad = bad
command-stats = How it goes, with a plot
command-review = Review corrections
command-quota = Questions a day for one person
command-ban = Answer somebody no more
command-unban = Answer somebody again
command-broadcast = Tell everybody something
command-maintenance = Take no new questions
