"""Every word the page says, in English."""

from __future__ import annotations

from typing import Final

from web.wording import Texts

EN: Final = Texts(
    lang="en",
    locale="en",
    other="中文",
    title="The Food Critic",
    tagline="Show me a dish. I name it, score it, and argue my case.",
    theme="Light or dark",
    logout="Leave",
    chat="Conversation",
    invite_title="What is on your plate?",
    invite="Add a photo, or several, with or without a question. Then ask on.",
    box="Ask, or add photos",
    new="New conversation",
    questions=(
        "Which cuisine is this?",
        "What does it taste like?",
        "Where should I eat it?",
        "Is it nicely plated?",
    ),
    suggestions="Ask",
    add="Add photos",
    added="Photos to send",
    remove="Remove this photo",
    paste="Paste a photo",
    send="Send",
    stop="Stop",
    copy="Copy this",
    copied="Copied",
    larger="Full screen",
    smaller="Leave full screen",
    reset="As it was",
    close="Close",
    samples="From the kitchen",
    samples_hint="No photo at hand? Pick a plate.",
    ask_about="Ask about {dish}",
    sampling="How answers are drawn",
    sampling_hint="Lower is soberer, higher is bolder.",
    top_p="Top-p",
    temperature="Temperature",
    disclaimer=(
        "A critic can be wrong, and no photo shows allergens or freshness. "
        "Only whoever runs this page can see your photos and questions."
    ),
    looking="Looking at it",
    queued_one="One question is before yours",
    queued_many="{ahead} questions are before yours",
    about_seconds=", about {seconds} s to wait",
    learning="Learning from people's corrections right now; your question is kept",
    about_minutes=". About {minutes} min of training are left, then an exam",
    opening="Just opening: the model is being loaded; your question is kept",
    stopped="Stopped.",
    score="{score} out of 10",
    unsure="Not sure. What it might be:",
    photo_of="Your photo",
    photo_number="Photo {number}",
    failed="I could not finish this answer. That is my fault, not yours: please try again.",
    talked_out="This conversation has become longer than I can read: start a new one.",
    photo_first="Send a photo of a dish first, then ask away.",
    no_session="This page needs its cookie to know your conversation: allow it and reload.",
    lost="The connection is gone. I try again every two seconds, and what you asked is not lost.",
    not_arrived="The upload broke off. Please add the photo again.",
    too_long="That is a long question: {length} characters, and I read {limit} at most.",
    too_many_photos="One question may have {limit} photos at most.",
    full_user="You have {limit} questions waiting already. Please ask again in about {seconds} s.",
    full_total="Too many people are asking right now. Please try again in about {minutes} min.",
    not_an_image="I cannot open this as a picture. Send a JPEG, PNG, WebP, GIF or HEIC.",
    truncated="This picture is damaged or cut off. Please send it again.",
    too_large="This file is larger than 20 MB. Send a smaller one.",
    too_many_pixels="This picture has more than 50 million pixels. Send a smaller one.",
    limit_minute=(
        "That was quick: {limit} questions a minute are all I take. "
        "Your next one can come in {seconds} s."
    ),
    limit_day=(
        "That was a full meal: {limit} questions a day are all I take. "
        "Your next one can come in {hours} h."
    ),
    limit_none="You cannot ask any more: the operator has set your quota to 0.",
    maintenance=(
        "The kitchen is being cleaned. What you asked before is still answered; "
        "please ask anew in a while."
    ),
    no_room=(
        "I cannot take anything in just now: my disk is full or my database away, and the log says "
        "which. What you asked before is not lost; please ask anew in a while."
    ),
    tab_talk="Critique",
    tab_memes="Memes",
    meme_invite_title="Play with your food",
    meme_invite="Add a photo and a style. I think of captions; you choose, restyle and download.",
    meme_photo="A photo",
    meme_first="Add a photo first.",
    meme_style="Style",
    top_bottom="Top and bottom",
    subtitle="Film subtitle",
    speech="The dish speaks",
    meme_make="Make a meme",
    meme_busy="Thinking of something…",
    meme_card="Score card of my last critique",
    meme_result="The picture",
    meme_captions="Captions",
    meme_words="With text",
    meme_none="Nothing funny came to my mind about this one. Try again?",
    meme_too_long="That caption is too long for this style.",
    no_card="There is no critique of a dish in your conversation yet.",
    meme_like="Funny",
    meme_dislike="Not funny",
    fix="Correct this answer",
    fix_title="What is it really?",
    fix_dish="The dish",
    fix_none="No dish at all",
    fix_other="Another dish",
    fix_text="A better answer",
    fix_send="Send",
    fix_leave="Never mind",
    fix_undo="Take it back",
    fix_noted_dish="Noted: {dish}.",
    fix_noted_text="Noted, a better answer.",
    fix_thanks="Thank you. Somebody reads it before anything changes.",
    fix_undone="Taken back.",
    fix_empty="Choose a dish, or write its name or a better answer.",
    fix_too_long_dish="That is longer than the name of a dish: {limit} characters are the most.",
    fix_too_long_text="That is longer than I can keep: {limit} characters are the most.",
    fix_stale="This answer cannot be corrected.",
    privacy="Privacy",
    privacy_title="What I hold about you",
    privacy_who=(
        "I know this browser by a random number in a cookie: no name, no address, no account. "
        "With that number I keep what you ask here and what I answer. Whoever runs this page can "
        "read it; other visitors cannot."
    ),
    privacy_nobody="I hold nothing about this browser.",
    held_questions="Questions, with their answers",
    held_photos="Photos, as you sent them",
    held_ratings="Ratings",
    held_corrections="Corrections",
    kept="I keep them until you delete them.",
    kept_days=(
        "I delete a question, its answer and its photos {days} days after the answer, "
        "except those I may learn from."
    ),
    consent_ask=(
        "May I learn from you? If you agree, the photos and questions you send me, your thumbs up "
        "and your corrections may be used to train my models. The people who run me look at "
        "corrections first. If not, I work just the same."
    ),
    consent_later="You can change your mind at any time under {privacy}.",
    consent_agree="Yes, learn from me",
    consent_refuse="No",
    consent_yes="Thank you: I may learn from you.",
    consent_no="All right: I learn nothing from you.",
    learn_yes="You agreed: I may learn from what you send.",
    learn_no="I learn nothing from what you send.",
    learn_unasked="I learn nothing from what you send, because you have not said that I may.",
    learn_stop="Learn nothing from me any more",
    download="Download my data",
    download_hint=(
        "A zip file: questions, answers, ratings and corrections as JSON, photos as you sent them."
    ),
    forget="Delete everything",
    forget_ask=(
        "All your questions, their answers, photos, ratings and corrections go, and I learn from "
        "them no more. "
        "This cannot be undone. What a model has learnt stays in it until its next training, "
        "which begins without you."
    ),
    forget_sure="Yes, delete everything",
    forgotten="Everything is deleted. If you ask me again, we meet for the first time.",
    back="Back to the table",
    password="Password",
    enter="Come in",
    wrong="That is not the password.",
    wrong_often="Too many passwords at once from where you are: wait ten seconds, then try again.",
    locked="This table is reserved.",
)
